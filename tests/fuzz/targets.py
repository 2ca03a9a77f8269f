"""All targets by name."""

from __future__ import annotations

from tests.fuzz import images, scans, texts

TARGETS = {target.name: target for target in (*images.TARGETS, *scans.TARGETS, *texts.TARGETS)}
