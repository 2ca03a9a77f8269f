"""Output files of a diffusion fit: names as by dtifit or as BIDS derivatives, units, sidecars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json, write_together
from qsmengine.io.bids import BidsName
from qsmengine.modalities.dwi.products import PRODUCTS, DiffusionProduct
from qsmengine.modalities.dwi.quality import MEASURES
from qsmengine.modalities.dwi.stages import FIT
from qsmengine.modalities.quality import Value, quality_dictionary, quality_table
from qsmengine.modalities.registry import ignored
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.dataset import dataset_root, raw_dataset_of, shared_files, write_shared_files
from qsmengine.pipeline.outputs.maps import (
    Texts,
    common_metadata,
    estimation,
    sidecar_of,
    write_map,
    write_texts,
)
from qsmengine.pipeline.outputs.provenance import session_record
from qsmengine.pipeline.outputs.staging import Writing, staged
from qsmengine.pipeline.run.plan import Plan, PlanStep
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.diffusion.orders import TENSOR_ORDERS, reorder_tensor

MODELS = {"dki": "kurtosis", "dki_constrained": "kurtosis", "free_water": "fwdti"}
"""Method -> ``model`` entity of BIDS derivatives; default: "tensor"."""
NameStyle: TypeAlias = Literal["fsl", "bids"]


class Judged(NamedTuple):
    """Findings about finished maps: further notes, and quality measures (None: not evaluated).

    `account`: files of :func:`account_paths` -> their content; None: not written. `losses`: numbers of slices
    for the provenance.
    """

    notes: tuple[str, ...] = ()
    quality: Mapping[str, Value] | None = None
    account: Callable[[Sequence[Path]], Texts] | None = None
    losses: Mapping[str, Any] | None = None


def dti_files(plan: Plan, prefix: str | Path, names: NameStyle = "fsl") -> list[Path]:
    """Return every file that a fit writes; with BIDS names also provenance and files shared by the dataset."""
    prefix, method = Path(prefix), fit_method(plan.steps)
    images = dti_images(prefix, [product for product in PRODUCTS if product.map in plan.kept], names, method)
    files = [path for image in images for path in (image, sidecar_of(image))]
    if names == "bids":
        files += [_provenance_path(prefix), *quality_paths(prefix), *account_paths(prefix)]
    root = bids_root(prefix, names)
    return files if root is None else [*files, *(root / path for path in shared_files(named=True))]


def fit_method(steps: Iterable[PlanStep]) -> str:
    """Return the name of the method that fits the model; a step before it may denoise the series."""
    return next(step.method.name for step in steps if step.section == FIT.section)


def dti_images(prefix: Path, products: Iterable[DiffusionProduct], names: NameStyle, method: str) -> list[Path]:
    """Return the image of every product of a fit by `method`."""
    return [_dti_path(prefix, product, names, method) for product in products]


def bids_root(prefix: Path, names: NameStyle) -> Path | None:
    """Return ROOT if `prefix` is ``ROOT/sub-X[/ses-Y]/dwi/sub-X...`` with BIDS names, else None."""
    if names != "bids":
        return None
    try:
        return dataset_root(prefix.parent, BidsName.parse(f"{prefix.name}_dwimap.nii.gz"))
    except InputError:
        return None


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
    masked: bool = False,
    notes: Iterable[str] = (),
    judge: Callable[[], Judged] = Judged,
    writing: Writing | None = None,
) -> list[Path]:
    """Write the maps of a fit with sidecars; either all files are written or none.

    Names follow dtifit (``PREFIX_FA.nii.gz``) or BIDS derivatives
    (``PREFIX_model-tensor_param-fa_dwimap.nii.gz``). The latter include provenance and, inside a dataset, its
    description. `masked`: whether voxels outside a mask were excluded. `judge`: called while the maps are
    written; what it returns is written with BIDS names, and what it raises leaves no file.
    """
    prefix = Path(prefix)
    dataset = bids_root(prefix, names)
    root = prefix.parent if dataset is None else dataset
    local = prefix.relative_to(root)
    shells = sorted({round(float(b) / 50.0) * 50 for b in b_values})
    writing, method = writing or Writing(), fit_method(record.step for record in result.records)
    shared = common_metadata(result, config, device, sources, timings=writing.timings)
    shared |= {"SkullStripped": masked, "BValues": shells}
    written: list[Path] = []
    jobs: list[tuple[int, Callable[[], None]]] = []
    with staged(root, writing.scratch, writing.obsolete) as folder:
        for product in PRODUCTS:
            name, description = product.map, product.description
            if name not in result.maps:
                continue
            path = _dti_path(local, product, names, method)
            metadata = {"Description": description, "Units": result.units[name], **shared}
            metadata |= {"Type": "Brain"} if name == "brain_mask" else estimation(result, name)
            array, intent = to_numpy(result[name]), None
            if name == "tensor":
                array = reorder_tensor(array, tensor_order, result.grid)
                intent = "symmetric matrix" if tensor_order == "nifti" else None
                order = TENSOR_ORDERS[tensor_order]
                frame = "scanner axes" if order.world else "FSL frame"
                metadata["Description"] = f"{description}: {' '.join(order.components)}, {frame}"
            shown = metadata["Description"]
            target, text = folder / path, {"description": shown, "intent": intent}
            jobs.append((array.nbytes, partial(write_map, target, array, result.grid, metadata, **text)))
            written += [path, sidecar_of(path)]
        # the largest map first: no thread is left alone with it at the end
        write_together((job for _, job in sorted(jobs, key=itemgetter(0), reverse=True)), judge)
        if names == "bids":
            notes, judged = [*notes, *judge().notes], judge()
            record = session_record(
                result, config, device, sources, notes, {"BValues": shells}, timings=writing.timings
            )
            record |= {} if judged.losses is None else {"SliceLoss": judged.losses}
            write_json(folder / _provenance_path(local), record)
            written.append(_provenance_path(local))
            written += write_texts(folder, _texts(local, judged))
        if dataset is not None:
            written += write_shared_files(folder, root, raw_dataset_of(sources), ignored, named=True)
    return [root / path for path in written]


def quality_paths(prefix: Path) -> tuple[Path, Path]:
    """Return the table of quality measures and its dictionary, with BIDS names."""
    stem = f"{prefix.name}_desc-quality_dti"
    return prefix.with_name(f"{stem}.tsv"), prefix.with_name(f"{stem}.json")


def account_paths(prefix: Path) -> tuple[Path, Path, Path, Path]:
    """Return the tables of volumes and of slices, each with its dictionary, with BIDS names."""
    volumes, slices = (f"{prefix.name}_desc-{name}_dti" for name in ("volumes", "slices"))
    endings = (f"{volumes}.tsv", f"{volumes}.json", f"{slices}.tsv", f"{slices}.json")
    first, second, third, fourth = (prefix.with_name(ending) for ending in endings)
    return first, second, third, fourth


def _texts(prefix: Path, judged: Judged) -> Texts:
    """Return the tables of quality measures, volumes and slices, and their dictionaries."""
    texts: dict[Path, str | Mapping[str, Any]] = {}
    if judged.quality is not None:
        table, dictionary = quality_paths(prefix)
        texts[table] = quality_table(MEASURES, judged.quality)
        texts[dictionary] = quality_dictionary(MEASURES)
    return texts if judged.account is None else {**texts, **judged.account(account_paths(prefix))}


def _provenance_path(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}_desc-dti_prov.json")


def _dti_path(prefix: Path, product: DiffusionProduct, names: NameStyle, method: str) -> Path:
    if names == "fsl":
        return prefix.with_name(f"{prefix.name}_{product.ending}.nii.gz")
    if product.suffix == "mask":
        return prefix.with_name(f"{prefix.name}_desc-{product.entities['desc']}_mask.nii.gz")
    model, param = MODELS.get(method, "tensor"), product.entities["param"]
    return prefix.with_name(f"{prefix.name}_model-{model}_param-{param}_dwimap.nii.gz")
