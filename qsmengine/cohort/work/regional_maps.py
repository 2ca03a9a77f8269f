"""Maps of a session that region tables hold, and where they are undefined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from qsmengine.io.bids import BidsName
from qsmengine.modalities.registry import all_products
from qsmengine.pipeline.outputs.products import Product, product_of


def region_maps(files: Iterable[str]) -> dict[str, str]:
    """Return the outputs that a region table holds: name -> file."""
    chosen: dict[str, str] = {}
    for file in files:
        product = map_of(file)
        if product is not None and product.region is not None:
            chosen.setdefault(product.region_name, file)
    return chosen


def region_limits(steps: Iterable[Sequence[str]]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return where the maps of :func:`region_maps` are undefined: name -> image of the same step, values.

    Maps are zero outside their mask; these zeros must not enter a region's mean.
    """
    chosen: dict[str, tuple[str, tuple[int, ...]]] = {}
    seen: set[str] = set()
    for files in steps:
        images = {product.map: (product, file) for file in files if (product := map_of(file))}
        names = {product.region_name: product for product, _ in images.values()}
        for name, product in names.items():
            if name in seen or product.region is None:
                continue
            if product.region.limit in images:
                chosen[name] = (images[product.region.limit][1], product.region.values)
        seen |= names.keys()
    return chosen


def map_of(file: str) -> Product | None:
    """Return the map that a derivative file holds; None if it holds none."""
    if not file.endswith(".nii.gz"):
        return None
    return product_of(BidsName.parse(PurePosixPath(file).name), all_products())
