"""Additional sidecar fields of susceptibility maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.uncertainty.calibration import INTERVALS, REGION_INTERVALS


def chi_metadata(result: RunResult, name: str) -> dict[str, Any]:
    """Return the reference of chi, levels of its intervals, and the offset added by chi separation.

    Empty for other maps.
    """
    if name == "chi":
        return {"QSMReference": _reference(result) | {"WholeBrain": _whole_brain(result)}}
    if name in INTERVALS:
        return {"IntervalLevel": INTERVALS[name], "IntervalUnits": "percent of voxels"}
    if name in REGION_INTERVALS:
        return {"IntervalLevel": REGION_INTERVALS[name], "IntervalUnits": "percent of regions"}
    separation = result.record("chi_separation")
    if separation is not None and name in separation.step.outputs.values():
        return {"AddedOffset": _plain(result.facts["offset"])}
    return {}


def _whole_brain(result: RunResult) -> dict[str, Any]:
    """Return mean and standard deviation [ppm] of the referenced chi inside its mask."""
    values = to_numpy(result["chi"])[to_numpy(result["local_mask"]) > 0].astype(np.float64)
    return {"Mean": float(values.mean()), "StandardDeviation": float(values.std()), "Voxels": int(values.size)}


def _reference(result: RunResult) -> dict[str, Any]:
    record = result.record("reference")
    if record is None:
        return {"Region": "none", "SubtractedValue": 0.0, "Units": "ppm"}
    values = record.step.params.model_dump(mode="json", by_alias=True)
    values |= {n: _plain(result.facts[n]) for n in record.step.method.outputs if n in result.facts}
    values["subtracted_value"] = values.pop("value", 0.0)
    values.setdefault("region", record.step.method.name)
    return {key.title().replace("_", ""): value for key, value in values.items()} | {"Units": "ppm"}


def _plain(value: Any) -> Any:
    """Convert a value to a number or text for JSON."""
    return value.item() if hasattr(value, "item") else value
