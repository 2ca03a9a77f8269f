"""Figures and reports. Reads derivatives and tables from disk, never results in memory."""

from importlib.util import find_spec

from qsmengine.errors import DeviceError

if find_spec("matplotlib") is None:
    raise DeviceError("figures need matplotlib, which is not installed: pip install 'qsmengine[report]'")
