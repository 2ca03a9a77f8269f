"""Products of a run: the maps that are written, with their file names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qsmengine.io.bids import BidsName
from qsmengine.io.dicom_objects.codes import Coded

_OWN = ("desc", "label", "param")
"""Entities that distinguish the maps of one run."""


@dataclass(frozen=True)
class Support:
    """Region in which a map is defined: all voxels except those where the map `limit` has one of `values`.

    The map is zero in the excluded voxels, and region tables ignore them.
    """

    limit: str
    values: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Product:
    """A file of a run.

    Parameters
    ----------
    map
        Name of the map in the run.
    suffix, entities
        Suffix and entities of its BIDS name.
    description
        Description in its sidecar.
    region
        Region that region tables use; None for a map that they do not contain.
    column
        Name in region tables, if not that of the map.
    quantity
        Coded quantity in DICOM; None for maps without a standard code.
    """

    map: str
    suffix: str
    entities: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    region: Support | None = None
    column: str = field(default="", kw_only=True)
    quantity: Coded | None = field(default=None, kw_only=True)

    @property
    def region_name(self) -> str:
        """Name in region tables."""
        return self.column or self.map

    @property
    def is_field(self) -> bool:
        """Whether the map is written in [Hz] instead of [ppm]."""
        return self.suffix == "fieldmap"

    def is_named(self, name: BidsName) -> bool:
        """Return whether a file of this name holds the map."""
        own = {key: name.entities[key] for key in _OWN if key in name.entities}
        return (self.suffix, dict(self.entities)) == (name.suffix, own)


def product_of(name: BidsName, products: Iterable[Product]) -> Product | None:
    """Return the product that a file holds; None if it holds none of them."""
    return next((product for product in products if product.is_named(name)), None)
