"""Whole reconstructions on the GPU give what they give on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import load_config, preset_names
from qsmengine.stages.registry import methods_of
from tests.gpu_standin.chains import assert_agree, series, short_settings, small_head

CHAINS = short_settings()


@pytest.mark.parametrize("preset", preset_names())
def test_preset_gives_the_maps_of_the_cpu(preset: str, gpu: Device) -> None:
    config = load_config(preset=preset)
    on_gpu, on_cpu = (run_qsm(series(), config, device) for device in (gpu, cpu(1)))
    assert float(np.abs(on_cpu.chi).max()) > 0.02
    assert_agree(on_gpu.maps, on_cpu.maps, on_cpu.units)


@pytest.mark.parametrize("chain", CHAINS)
def test_chain_with_each_method_gives_the_maps_of_the_cpu(chain: str, gpu: Device) -> None:
    config = load_config(settings=CHAINS[chain])
    r2 = np.full(small_head().grid.shape, 12.0, np.float32)
    on_gpu, on_cpu = (run_qsm(series(), config, device, r2=r2) for device in (gpu, cpu(1)))
    assert_agree(on_gpu.maps, on_cpu.maps, on_cpu.units)


@pytest.mark.parametrize("fit", methods_of("diffusion"))
def test_diffusion_fit_gives_the_maps_of_the_cpu(fit: str, gpu: Device) -> None:
    head = small_head()
    assert head.dwi is not None
    config = load_config(settings=[f"diffusion={fit}"])
    on_gpu, on_cpu = (run_dti(head.dwi, config, device, mask=head.mask) for device in (gpu, cpu(1)))
    assert_agree(on_gpu.maps, on_cpu.maps, on_cpu.units)
