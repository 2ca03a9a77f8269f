"""Maps that are written, under the names of their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qsmengine.io.bids import BidsName

_OWN = ("desc", "param")
"""Entities that tell the maps of one run apart."""


@dataclass(frozen=True)
class Support:
    """Where a map is defined: region tables leave out voxels in which the map `limit` has one of `values`.

    The map holds zeros there.
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
        Of its BIDS name.
    description
        For its sidecar.
    region
        Where region tables use it; None for a map that they do not hold.
    """

    map: str
    suffix: str
    entities: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    region: Support | None = None

    @property
    def is_field(self) -> bool:
        """Whether it is written in [Hz] instead of [ppm]."""
        return self.suffix == "fieldmap"

    def is_named(self, name: BidsName) -> bool:
        """Whether a file of this name holds the map."""
        own = {key: name.entities[key] for key in _OWN if key in name.entities}
        return (self.suffix, dict(self.entities)) == (name.suffix, own)


def product_of(name: BidsName, products: Iterable[Product]) -> Product | None:
    """Return the product that a file holds, None where it is none of them."""
    return next((product for product in products if product.is_named(name)), None)
