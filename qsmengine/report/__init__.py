"""Figures and HTML pages of sessions, cohorts and reproduced studies.

Everything is read from derivatives and tables on disk, never from results in memory. Studies, the cohort, the
command line and the tools import it; it imports no reconstruction code. Sentences and references of the
methods section are in ``data``, page templates in ``templates``.
"""

from importlib.util import find_spec

from qsmengine.errors import DeviceError

if find_spec("matplotlib") is None:
    raise DeviceError("figures need matplotlib, which is not installed: pip install 'qsmengine[report]'")
