"""Maps of a diffusion fit as files: dtifit's names or those of BIDS derivatives, units, sidecars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.io.atomic import write_together
from qsmengine.pipeline.config import Config
from qsmengine.pipeline.derivatives import common_metadata, estimation, sidecar_of, write_map
from qsmengine.pipeline.plan import Plan
from qsmengine.pipeline.products import DTI_PRODUCTS
from qsmengine.pipeline.results import RunResult
from qsmengine.pipeline.staging import Writing, staged
from qsmengine.stages.diffusion.orders import TENSOR_ORDERS, reorder_tensor

MODELS = {"dki": "kurtosis", "dki_constrained": "kurtosis", "free_water": "fwdti"}
"""Method -> ``model`` in the names of BIDS derivatives; others are "tensor"."""
NameStyle: TypeAlias = Literal["fsl", "bids"]


def dti_files(plan: Plan, prefix: str | Path, names: NameStyle = "fsl") -> list[Path]:
    """Every file a fit will write."""
    method = plan.steps[0].method.name
    images = [_dti_path(Path(prefix), name, names, method) for name in DTI_PRODUCTS if name in plan.kept]
    return [path for image in images for path in (image, sidecar_of(image))]


def write_dti(
    result: RunResult,
    prefix: str | Path,
    *,
    config: Config,
    device: Device,
    b_values: npt.NDArray[np.float64],
    sources: Sequence[Path],
    tensor_order: str = "fsl",
    names: NameStyle = "fsl",
    writing: Writing | None = None,
) -> list[Path]:
    """Write the maps of a fit with sidecars; all files or none.

    Names are dtifit's (``PREFIX_FA.nii.gz``) or those of BIDS derivatives
    (``PREFIX_model-tensor_param-fa_dwimap.nii.gz``).
    """
    prefix = Path(prefix)
    shells = sorted({round(float(b) / 50.0) * 50 for b in b_values})
    writing = writing or Writing()
    shared = common_metadata(result, config, device, sources, timings=writing.timings) | {"BValues": shells}
    written: list[Path] = []
    jobs: list[Callable[[], None]] = []
    with staged(prefix.parent, writing.scratch) as folder:
        for name, (_, description) in DTI_PRODUCTS.items():
            if name not in result.maps:
                continue
            path = _dti_path(Path(prefix.name), name, names, result.records[0].step.method.name)
            metadata = {"Description": description, "Units": result.units[name], **shared}
            metadata |= estimation(result, name)
            array, intent = to_numpy(result[name]), None
            if name == "tensor":
                array = reorder_tensor(array, tensor_order, result.grid)
                intent = "symmetric matrix" if tensor_order == "nifti" else None
                order = TENSOR_ORDERS[tensor_order]
                frame = "scanner axes" if order.world else "FSL frame"
                metadata["Description"] = f"{description}: {' '.join(order.components)}, {frame}"
            shown = metadata["Description"]
            target, text = folder / path, {"description": shown, "intent": intent}
            jobs.append(partial(write_map, target, array, result.grid, metadata, **text))
            written += [path, sidecar_of(path)]
        write_together(jobs)
    return [prefix.parent / path for path in written]


def _dti_path(prefix: Path, name: str, names: NameStyle, method: str) -> Path:
    if names == "fsl":
        return prefix.with_name(f"{prefix.name}_{DTI_PRODUCTS[name][0]}.nii.gz")
    model, param = MODELS.get(method, "tensor"), name.replace("_", "")
    return prefix.with_name(f"{prefix.name}_model-{model}_param-{param}_dwimap.nii.gz")
