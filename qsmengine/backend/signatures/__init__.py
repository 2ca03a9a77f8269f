"""One module per kernel source; all_kernels() lists every kernel, for the checks that compile and test them."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from qsmengine.backend.kernel import Kernel


def all_kernels() -> tuple[Kernel, ...]:
    """Return every declared kernel, in the order of modules and declarations."""
    found: list[Kernel] = []
    for module in sorted(iter_modules(__path__), key=lambda m: m.name):
        members = vars(import_module(f"{__name__}.{module.name}")).values()
        found.extend(m for m in members if isinstance(m, Kernel))
    return tuple(found)
