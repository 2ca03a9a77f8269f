"""Registry of modalities; a line here adds one to cohorts, commands, imports, region tables and reports."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qsmengine.modalities.command import Command
    from qsmengine.modalities.derived import Derived
    from qsmengine.modalities.modality import Modality
    from qsmengine.pipeline.outputs.products import Product

MODALITIES = {
    "qsm": "qsmengine.modalities.gre",
    "dti": "qsmengine.modalities.dwi",
    "dsc": "qsmengine.modalities.dsc",
    "vfa": "qsmengine.modalities.vfa",
    "mese": "qsmengine.modalities.mese",
    "anatomy": "qsmengine.modalities.t1w",
}
"""Step -> package with the modules `description` (MODALITY) and `command` (COMMAND), in the order of plans."""


def step_names() -> tuple[str, ...]:
    """Return the names of the modalities' steps."""
    return tuple(MODALITIES)


def names() -> tuple[str, ...]:
    """Return the names of the modalities, which are those of their packages."""
    return tuple(package.rpartition(".")[2] for package in MODALITIES.values())


def commands() -> tuple[Command, ...]:
    """Return the command of every modality; no description is imported."""
    return tuple(import_module(f"{package}.command").COMMAND for package in MODALITIES.values())


@cache
def all_modalities() -> tuple[Modality, ...]:
    """Return the description of every modality."""
    return tuple(import_module(f"{package}.description").MODALITY for package in MODALITIES.values())


def outside_bids() -> frozenset[str]:
    """Return the suffixes of raw images that modalities read and BIDS does not define."""
    return frozenset(suffix for modality in all_modalities() for suffix in modality.outside_bids)


def ignored() -> tuple[str, ...]:
    """Return the patterns of the modalities' maps that BIDS does not define."""
    return tuple(pattern for modality in all_modalities() for pattern in modality.ignored)


def modality_of(step: str) -> Modality | None:
    """Return the modality whose step has this name, None if there is none."""
    return next((modality for modality in all_modalities() if modality.step == step), None)


def description_of(step: str) -> Modality | Derived | None:
    """Return the description of a step, that of a modality or a derived one; None if there is none."""
    from qsmengine.modalities.derived import DERIVED

    return modality_of(step) or next((one for one in DERIVED if one.step == step), None)


def missing_reason(step: str) -> str:
    """Return why a session has no step of this name."""
    described = description_of(step)
    return f"no step {step}" if described is None else described.absent


def all_products() -> tuple[Product, ...]:
    """Return every map that any modality writes."""
    return tuple(product for modality in all_modalities() for product in modality.products)
