"""Statistics of regional values and maps: label tables, region tables, group models.

Everything is read from BIDS derivatives on disk, so that it also works on the output of another program.
Studies, the cohort and the command line import it; of the reconstruction it uses permutation tests only.
Only this package imports statsmodels and formulaic (extra ``stats``).
"""

from importlib.util import find_spec

from qsmengine.errors import DeviceError

_absent = [name for name in ("pandas", "statsmodels", "formulaic") if find_spec(name) is None]
if _absent:
    raise DeviceError(
        f"tables and group models need {', '.join(_absent)} (not installed): pip install 'qsmengine[stats]'"
    )
