"""All targets by name."""

from __future__ import annotations

from tests.fuzz import images, texts

TARGETS = {target.name: target for target in (*images.TARGETS, *texts.TARGETS)}
