"""Registry of modalities; a line here adds one to cohorts, region tables, reports and filters."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from qsmengine.modalities.modality import Modality
from qsmengine.pipeline.outputs.products import Product

MODALITIES = ("qsmengine.modalities.gre.description", "qsmengine.modalities.dwi.description")
"""Modules that define MODALITY, in the order of plans and pages."""


@cache
def all_modalities() -> tuple[Modality, ...]:
    """Return the description of every modality."""
    return tuple(import_module(module).MODALITY for module in MODALITIES)


def step_names() -> tuple[str, ...]:
    """Return the names of the modalities' steps."""
    return tuple(modality.step for modality in all_modalities())


def modality_of(step: str) -> Modality | None:
    """Return the modality whose step has this name, None if there is none."""
    return next((modality for modality in all_modalities() if modality.step == step), None)


def all_products() -> tuple[Product, ...]:
    """Return every map that any modality writes."""
    return tuple(product for modality in all_modalities() for product in modality.products)
