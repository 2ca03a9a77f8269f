"""A fault that only a GPU shows, planted in a stage, fails its chain on the stand-in."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.registry import get_method
from tests.gpu_standin.chains import SHORT, series

PLANTED: dict[str, Any] = {
    "conversion to NumPy": np.asarray,
    "NumPy's scalar": lambda x: np.float32(x.sum()),
    "product with a host array": lambda x: np.ones(x.shape[-1]) @ x.reshape(x.shape[-1], -1),
    "kernel's argument on the host": lambda x: x + np.zeros(x.shape, np.float32),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_fails_the_chain_on_the_gpu_only(
    fault: str, gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[get_method("relaxometry", "arlo").run.__module__]
    launch = module.launch

    def planted(kernel: Any, device: Device, **values: Any) -> None:
        PLANTED[fault](next(v for v in values.values() if getattr(v, "ndim", 0) > 1))
        launch(kernel, device, **values)

    monkeypatch.setattr(module, "launch", planted)
    config = load_config(settings=[f"single_step.iterations={SHORT}"])
    assert run_qsm(series(), config, cpu(1)).chi.any()
    with pytest.raises(TypeError, match=r"(?i)numpy"):
        run_qsm(series(), config, gpu)
