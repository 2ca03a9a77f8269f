import importlib
import importlib.util

import pytest

import qsmengine.report
import qsmengine.stats
from qsmengine.errors import DeviceError


@pytest.mark.parametrize(
    ("package", "extra"), [(qsmengine.report, r"qsmengine\[report\]"), (qsmengine.stats, r"qsmengine\[stats\]")]
)
def test_a_missing_optional_package_is_named_with_its_extra(monkeypatch, package, extra):
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(DeviceError, match=extra):
            importlib.reload(package)
    importlib.reload(package)
