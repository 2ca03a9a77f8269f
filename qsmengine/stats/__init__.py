"""Tables and group models: regions to tables, tables to statistics. Reads derivatives from disk."""

from importlib.util import find_spec

from qsmengine.errors import DeviceError

_absent = [name for name in ("pandas", "statsmodels", "formulaic") if find_spec(name) is None]
if _absent:
    raise DeviceError(
        f"tables and group models need {', '.join(_absent)}, not installed: pip install 'qsmengine[stats]'"
    )
