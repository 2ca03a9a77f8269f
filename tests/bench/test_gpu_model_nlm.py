import pytest

from bench import nvrtc
from bench.gpu_model import nlm, sass
from bench.gpu_model.hardware import ARCHITECTURE, H100
from qsmengine.backend.signatures.nlm import PACKED_ROWS


@pytest.mark.xdist_group("machine code of nlm_packed.cu")
def test_steps_are_found_in_the_machine_code():
    if sass.nvdisasm() is None:
        pytest.skip("nvdisasm is not installed")
    _, cubin = nvrtc.machine_code("nlm_packed.cu", ARCHITECTURE)
    found = nlm.steps(nlm.blocks_of(sass.listing(cubin)))
    for shifts, step in found.items():
        sums = PACKED_ROWS * shifts
        # differences, sums over the patch, power, weighted sums: none can do with less
        assert step.instructions > 25 * sums
        assert step.differences < step.instructions / 2
        assert step.wavefronts > 4 * sums
    assert found[nlm.GROUP].cycles > found[nlm.GROUP - 1].cycles


def test_cycles_count_planes_groups_and_whole_waves():
    steps = {k: nlm.Step(100.0 * k, 1.0, 10.0) for k in (nlm.GROUP, nlm.GROUP - 1)}
    shape = (nlm.DEPTH, PACKED_ROWS, 28)  # one tile on one multiprocessor, the others idle
    warps = 121 * (nlm.DEPTH * 1100.0 + 2 * 20.0) + 6 * nlm.DEPTH * 500.0  # groups of 6 and 5, 6 of 248 idle
    voxels = nlm.DEPTH * PACKED_ROWS * 28 / 32
    assert nlm.cycles_per_voxel(steps, shape, 5, H100) == pytest.approx(132 * warps / voxels)


def test_step_takes_as_long_as_its_busiest_unit():
    assert nlm.Step(100.0, 20.0, 50.0).cycles == 100.0
    assert nlm.Step(100.0, 40.0, 50.0).cycles == 160.0
