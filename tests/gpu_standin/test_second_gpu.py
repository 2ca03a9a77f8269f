"""Work on a GPU that is not the current one stays on it."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from qsmengine.api.denoising import denoise
from qsmengine.backend.device import Device, cpu, resolve_device
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.diffusion.motion import predict
from tests.gpu_standin.chains import SHORT, assert_agree, series, small_head


@pytest.fixture
def second(gpu: Device) -> Device:
    device = resolve_device("cuda:1")
    assert gpu.xp.cuda.runtime.getDevice() == 0
    return device


@pytest.mark.parametrize("settings", [[], ["mask=combined", "background=vsharp"], ["denoise=auto"]])
def test_reconstruction_runs_on_the_second_gpu(settings: list[str], second: Device) -> None:
    solver = "inversion" if "background=vsharp" in settings else "single_step"
    config = load_config(settings=[*settings, f"{solver}.iterations={SHORT}"])
    on_gpu, on_cpu = (run_qsm(series(), config, device) for device in (second, cpu(1)))
    assert {cast("Any", array).device.id for array in on_gpu.maps.values()} == {1}
    assert_agree(on_gpu.maps, on_cpu.maps, on_cpu.units)


def test_fits_and_filters_run_on_the_second_gpu(second: Device) -> None:
    head = small_head()
    assert head.dwi is not None
    config = load_config(settings=["diffusion=nlls"])
    maps = run_dti(head.dwi, config, second, mask=head.mask).maps
    images = second.asarray(head.dwi.signal[..., :4])
    filtered = denoise(images, head.grid, mask=head.mask, sigma="local")
    assert {cast("Any", array).device.id for array in [*maps.values(), filtered]} == {1}
    predicted = predict(head.dwi, 5, head.mask, second)
    np.testing.assert_allclose(predicted, predict(head.dwi, 5, head.mask, cpu(1)), rtol=1e-3)
