"""Checks of an acquisition against recommendations, from headers, sidecars, or provenance; no voxel is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from qsmengine.records import record

Facts: TypeAlias = Mapping[str, Any]
"""Facts of an acquisition by their names in the provenance, such as EchoTimes [s] and VoxelSize [mm]."""
OWN = "own criterion"


@record
class Check:
    """Result of one check.

    Parameters
    ----------
    name
        Property that is checked.
    light
        "green", "red", or None if the data do not contain the property.
    found, wanted
        Value, and recommendation.
    reason
        Effect of a red result.
    source
        DOI of the recommendation, or `OWN`.
    """

    name: str
    light: Literal["green", "red"] | None
    found: str
    wanted: str
    reason: str
    source: str = OWN


@record
class Recommendation:
    """Recommendation for a modality.

    Parameters
    ----------
    title
        Its name.
    facts
        Parts (role -> images) -> facts.
    recorded
        Provenance of a reconstruction -> facts.
    check
        Facts -> results.
    """

    title: str
    facts: Callable[[Mapping[str, Sequence[Path]]], Facts]
    recorded: Callable[[Mapping[str, Any]], Facts]
    check: Callable[[Facts], list[Check]]
