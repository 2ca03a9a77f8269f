"""Files to export: what each holds, with the quantity and unit of a map."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from qsmengine.cohort.dicom_export.plausible import check_unit
from qsmengine.errors import InputError, UsageError, nearest
from qsmengine.io.bids import BidsName
from qsmengine.io.dicom_objects.codes import Coded, parse_coded, ucum
from qsmengine.io.dicom_objects.segmentation import Segment
from qsmengine.io.header import ImageHeader, read_header
from qsmengine.io.inheritance import image_stem
from qsmengine.io.sidecars import Sidecar, read_sidecar
from qsmengine.modalities.registry import all_modalities, all_products
from qsmengine.pipeline.outputs.products import Product, product_of
from qsmengine.report.panels import STYLES
from qsmengine.stats.labels.tables import load_label_table

Kind = Literal["map", "labels", "table"]
_LABELS = ("dseg", "mask")
"""Suffixes of label images."""
_TEMPLATE_CODES = (3, 4, 5)
"""NIfTI codes of affines to Talairach, MNI, and other template coordinates."""
_TEMPLATES = ("mni", "fsaverage", "talairach", "icbm")
_NONE = Coded("", "", "")


@dataclass(frozen=True)
class Stated:
    """Statements of the user about a map or label image: quantity, unit, and label table."""

    quantity: str | None = None
    unit: str | None = None
    lut: str | None = None


@dataclass(frozen=True)
class Input:
    """File to export.

    Parameters
    ----------
    path, kind, title
        File, what it holds, and a description.
    quantity, unit, window, face
        Of a map: coded quantity, unit as in its sidecar, limits shown, whether it may show the face.
    segments, binary, algorithm
        Of labels: those of its table, whether all values but 0 are one label, and the program that made them.
    """

    path: Path
    kind: Kind
    title: str
    quantity: Coded = _NONE
    unit: str = ""
    window: tuple[float, float] | None = None
    face: bool = True
    segments: tuple[Segment, ...] = ()
    binary: bool = False
    algorithm: str = ""

    @property
    def stem(self) -> str:
        """File name without its extension, from which the names of objects are derived."""
        return image_stem(self.path.name)


def read_input(path: Path, stated: Stated) -> Input:
    """Return what a file holds, without reading its voxels.

    Raises
    ------
    InputError
        For a file that cannot be exported, an unknown quantity or unit, a unit of another quantity, or labels
        without a table.
    """
    if path.suffix == ".tsv":
        return Input(path, "table", f"regional values: {path.stem}")
    header, _ = read_header(path)
    if len(header.shape) > 3:
        raise InputError(
            f"has shape {header.shape}; only a single volume (x, y, z) is exported. Colour FA, directions and "
            "tensors have no coded quantity: export FA or MD",
            source=path,
            field="dim",
        )
    _check_space(header)
    sidecar = read_sidecar(path)
    if image_stem(path.name).rsplit("_", 1)[-1] in _LABELS:
        return _labels(path, sidecar, stated)
    product = product_at(path)
    unit = stated.unit or sidecar.text("Units")
    if unit is None:
        sidecar.missing("Units", "state it with --unit")
    _check_unit(path, unit)
    quantity = _quantity(path, product, stated)
    check_unit(quantity, unit, path)
    return Input(
        path,
        "map",
        product.description if product is not None and not stated.quantity else quantity.meaning,
        quantity=quantity,
        unit=unit,
        window=_window(path, unit),
        face=sidecar.values.get("SkullStripped") is not True,
    )


def _check_space(header: ImageHeader) -> None:
    """Raise InputError for an image in template space: a frame of reference belongs to a scanner."""
    entities = [part.partition("-") for part in image_stem(header.path.name).split("_")]
    space = next((label for key, _, label in entities if key == "space"), "")
    code = header.sform_code if header.affine_source == "sform" else header.qform_code
    if code in _TEMPLATE_CODES or space.lower().startswith(_TEMPLATES):
        raise InputError(
            "lies in template space, which has no frame of reference; export the map in the scanner's space",
            source=header.path,
            field="space" if space else f"{header.affine_source}_code",
        )


def product_at(path: Path) -> Product | None:
    """Return the map that a file holds, from its name; prefixes that are not key-label pairs are ignored."""
    *parts, suffix = image_stem(path.name).split("_")
    pairs = [part for part in parts if "-" in part]
    try:
        found = product_of(BidsName.parse("_".join([*pairs, suffix])), all_products())
    except InputError:
        found = None
    endings = (one for one in all_products() if getattr(one, "ending", None) == suffix)
    return found or next(endings, None)


def quantity_of_column(name: str) -> Coded | None:
    """Return the quantity of a map by its name in region tables; None without a code."""
    return next((one.quantity for one in all_products() if one.region_name == name), None)


def _quantity(path: Path, product: Product | None, stated: Stated) -> Coded:
    if stated.quantity and ":" in stated.quantity:
        return parse_coded(stated.quantity)
    known = {one.region_name: one.quantity for one in all_products() if one.quantity is not None}
    if stated.quantity:
        if stated.quantity not in known:
            close = nearest(stated.quantity, known)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
            raise UsageError(f"quantity {stated.quantity!r}: {hint} Others: CODE:SCHEME:MEANING")
        return known[stated.quantity]
    if product is None or product.quantity is None:
        held = (
            f"{product.description} has no standard DICOM code" if product else "the name is not that of a map"
        )
        raise InputError(
            f"unknown quantity ({held}); state it with --quantity, by name ({', '.join(sorted(known))}) or as "
            "CODE:SCHEME:MEANING",
            source=path,
        )
    return product.quantity


def _check_unit(path: Path, unit: str) -> None:
    try:
        ucum(unit)
    except InputError as error:
        raise error.at(path) from None


def _window(path: Path, unit: str) -> tuple[float, float] | None:
    """Return the window in which reports show the map, None if they have none in this unit."""
    for row in (row for modality in all_modalities() for row in modality.rows):
        style = STYLES[row.style] if isinstance(row.style, str) else row.style
        window = row.window or style.window
        if window is not None and fnmatch(path.name, f"*{row.files}"):
            if style.factor == 1.0 and (style.unit or "1") != unit:
                continue
            return window[0] / style.factor, window[1] / style.factor
    return None


def _labels(path: Path, sidecar: Sidecar, stated: Stated) -> Input:
    description = sidecar.text("Description")
    name = image_stem(path.name)
    algorithm = str(sidecar.values.get("EstimationAlgorithm") or "not stated")
    binary = name.endswith("mask") and stated.lut is None
    if binary:
        tags = dict(part.partition("-")[::2] for part in name.split("_"))
        segments: tuple[Segment, ...] = (Segment(1, tags.get("desc") or tags.get("label") or "mask"),)
    else:
        own = path.with_name(f"{name}.tsv")
        if stated.lut is None and not own.is_file():
            raise InputError(f"no label table {own.name} next to the image; name one with --lut", source=path)
        table = load_label_table(stated.lut or own)
        segments = tuple(Segment(one.index, one.name, one.hemisphere) for one in table.labels)
    return Input(path, "labels", description or name, segments=segments, binary=binary, algorithm=algorithm)
