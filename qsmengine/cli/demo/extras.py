"""Check of the extras that parts of the demo need."""

from __future__ import annotations

from importlib import import_module

from qsmengine.errors import DeviceError


def missing(package: str) -> str:
    """Return why a package of qsmengine cannot be used, with what to install; "" if it can."""
    try:
        import_module(f"qsmengine.{package}")
    except DeviceError as error:
        return str(error)
    return ""
