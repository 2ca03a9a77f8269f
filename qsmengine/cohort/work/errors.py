"""Reasons for which a session ends before its steps do."""

from __future__ import annotations

from qsmengine.errors import QsmengineError


class StopRequestedError(Exception):
    """The run is stopping."""


class LostDeviceError(QsmengineError):
    """A GPU no longer responds, and this process cannot use it again."""


class LostClaimError(QsmengineError):
    """Another process has taken the session over."""
