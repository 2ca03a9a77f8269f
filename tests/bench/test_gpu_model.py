import json
import math
from typing import Any

import pytest

from bench import nvrtc
from bench.gpu_model import command, costs, document, hardware, predict, sass
from bench.gpu_model.hardware import H100, H200
from bench.gpu_model.occupancy import occupancy
from qsmengine.backend.signatures import all_kernels
from qsmengine.errors import UsageError


@pytest.mark.parametrize(
    ("registers", "shared", "threads", "blocks", "warps", "limit"),
    [  # as NVIDIA's occupancy calculator states them for compute capability 9.0
        (32, 0, 256, 8, 64, "warps"),
        (40, 0, 256, 6, 48, "registers"),
        (64, 0, 256, 4, 32, "registers"),
        (128, 0, 256, 2, 16, "registers"),
        (255, 0, 256, 1, 8, "registers"),
        (32, 48 * 1024, 256, 4, 32, "shared memory"),
        (32, 100 * 1024, 256, 2, 16, "shared memory"),
        (32, 0, 32, 32, 32, "blocks"),
        (64, 0, 1024, 1, 32, "registers"),
        (33, 0, 1000, 1, 32, "registers"),
    ],
)
def test_occupancy_is_that_of_the_published_limits(registers, shared, threads, blocks, warps, limit):
    found = occupancy(registers, shared, threads)
    assert (found.blocks, found.warps, found.limit) == (blocks, warps, limit)
    assert found.share == warps / 64


def test_a_block_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="shared memory"):
        occupancy(32, 228 * 1024)


SASS = """
.text.plain:
.L_x_9:
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/              @!P0 EXIT ;
.L_x_1:
        /*0020*/                   LDG.E R2, desc[UR4][R2.64] ;
        /*0030*/              @!P0 BRA `(.L_x_2) ;
        /*0040*/                   FFMA R2, R2, R2, R2 ;
.L_x_3:
        /*0050*/                   MUFU.RCP R3, R2 ;
        /*0060*/                   FADD R2, R2, R3 ;
        /*0070*/               @P1 BRA `(.L_x_3) ;
.L_x_2:
        /*0080*/                   STG.E desc[UR4][R4.64], R2 ;
        /*0090*/                   IADD3 R0, R0, 0x1, RZ ;
        /*00a0*/              @!P2 BRA `(.L_x_1) ;
        /*00b0*/                   EXIT ;
        .weak           $__internal_0_$__cuda_sm20_div_s64
$__internal_0_$__cuda_sm20_div_s64:
        /*00c0*/                   MUFU.RCP R9, R9 ;
.L_x_4:
        /*00d0*/                   BRA `(.L_x_4) ;
.text.other:
        /*0000*/                   DADD R0, R2, R4 ;
        /*0010*/                   EXIT ;
"""


def test_instructions_belong_to_the_innermost_loop_and_subroutines_to_none():
    found = sass.parse(SASS)
    plain = found["plain"]
    assert [(loop.depth, dict(loop.counts)) for loop in plain.loops] == [
        (0, {"memory": 2, "other": 2, "fp32": 1, "integer": 1}),
        (1, {"special": 1, "fp32": 1, "other": 1}),
    ]
    assert sum(plain.outside.values()) == 3
    assert plain.instructions == 9
    assert found["other"].loops == ()


def test_cycles_are_those_of_the_busiest_pipe_or_of_issuing():
    plain = sass.parse(SASS)["plain"]
    assert plain.cycles() == 9  # every instruction once; the two accesses hold their pipe for 8
    assert plain.cycles({1: 10}) == max(6 + 30, 8 * 10)
    assert plain.cycles({1: 0}) == 8


@pytest.mark.skipif(sass.nvdisasm() is None, reason="nvdisasm is not installed")
def test_a_loop_with_known_work_is_counted_in_real_machine_code():
    text = """extern "C" __global__ void sums(const float* a, const float* b, float* c, int n) {
      #pragma unroll 1
      for (int i = threadIdx.x; i < n; i += 32) c[i] = a[i] + b[i];
    }"""
    _, cubin = nvrtc._compiled(text, "sums.cu", ("-arch=sm_90",))
    (code,) = sass.disassemble(cubin).values()
    (loop,) = code.loops
    assert (loop.depth, loop.counts["memory"], loop.counts["fp32"]) == (0, 3, 1)


def cost(**changes):
    given: dict[str, Any] = {
        "name": "k",
        "registers": 32,
        "shared_bytes": 0,
        "occupancy": occupancy(32, 0),
        "cycles": 100.0,
    }
    return predict.KernelCost(**(given | changes))


def test_a_kernel_that_streams_takes_its_bytes_over_the_bandwidth():
    seconds = cost().memory_seconds(3.35e9, 1e8, H100)
    assert seconds == pytest.approx(1e-3 / hardware.COPY_SHARE.value)
    assert cost(efficiency=0.5).memory_seconds(3.35e9, 1e8, H100) == pytest.approx(2 * seconds)
    assert cost().memory_seconds(3.35e9, 1e8, H200) == pytest.approx(seconds * 3.35 / 4.8)
    assert cost().memory_seconds(0, 1e8, H100) == 0


def test_few_bytes_in_flight_bound_the_bandwidth():
    few = cost(registers=255, occupancy=occupancy(255, 0))
    seconds = few.memory_seconds(4e8, 1e8, H100)  # 8 warps with 4 bytes a lane
    assert seconds == pytest.approx(4e8 / (8 * 32 * 4 * 132 / hardware.LATENCY.value))


def test_instructions_take_their_cycles_over_all_schedulers():
    seconds = cost().issue_seconds(32 * 132 * 4 * 1e6, H100)
    assert seconds == pytest.approx(1e6 * 100 / (1.755e9 * hardware.ISSUE_SHARE.value))
    few = cost(occupancy=occupancy(255, 0)).issue_seconds(32 * 132 * 4 * 1e6, H100)
    assert few == pytest.approx(2 * seconds)
    assert cost(cycles=None).issue_seconds(1e9, H100) == 0


def test_the_longer_of_memory_and_instructions_counts_and_every_launch_has_its_gap():
    kernel, items = cost(), 1e8
    moved = 4e8
    busy = max(kernel.memory_seconds(moved, items, H100), kernel.issue_seconds(items, H100))
    assert kernel.seconds(10, moved, items, H100) == pytest.approx(busy + 10 * hardware.GAP.value)


def test_the_floor_knows_no_losses():
    kernel = cost(efficiency=0.5, occupancy=occupancy(255, 0))
    assert kernel.floor_seconds(3.35e9, 1e3, H100) == pytest.approx(1e-3)
    assert kernel.floor_seconds(1, 32 * 132 * 4 * 1e6, H100) == pytest.approx(1e8 / 1.755e9)
    assert kernel.seconds(1, 3.35e9, 1e3, H100) > 2e-3


def host_row(**changes):
    kinds = ("kernel", "operation", "fft", "to device", "to host", "sync", "graph")
    row: dict[str, Any] = {kind: {"times": 0, "bytes": 0} for kind in kinds}
    row |= {"step": "s", "seconds": 1.0, "called": 0, "host_seconds": 0.0, "host_cpu_seconds": 0.0}
    return row | {"kernels": {}, "operations": {}} | changes


def test_a_step_takes_the_longer_of_device_and_host_and_then_copies_and_waits():
    busy = host_row(
        kernel={"times": 2, "bytes": 0}, called=2, kernels={"k": {"times": 2, "bytes": 8e8, "items": 1e8}},
        operations={"add": (3, 3e9), "empty": (9, 9e9)}, sync={"times": 4, "bytes": 0},
    )  # fmt: skip
    busy["to host"] = {"times": 1, "bytes": 1e8}
    found = predict.step_time(busy, {"k": cost()}, H100)
    copy = hardware.COPY_SHARE.value * 3.35e12
    device = cost().seconds(2, 8e8, 1e8, H100) + 3 * hardware.GAP.value + 3e9 / copy
    assert found.device == pytest.approx(device)
    assert found.host == pytest.approx(2 * hardware.KERNEL_CALL.value + 3 * hardware.OPERATION_CALL.value)
    assert found.copies == pytest.approx(0.01)
    assert found.waits == pytest.approx(4 * hardware.WAIT.value)
    assert found.seconds == pytest.approx(found.device + found.copies + found.waits)
    slow = predict.step_time({**busy, "host_cpu_seconds": 2.0}, {"k": cost()}, H100)
    assert slow.seconds == pytest.approx(slow.host + found.copies + found.waits)
    assert predict.chain_time([found, slow]) == pytest.approx(found.seconds + slow.seconds)


def test_what_a_graph_runs_is_not_called_again_by_the_host():
    row = host_row(
        kernel={"times": 50, "bytes": 0}, called=10, fft={"times": 25, "bytes": 0},
        operations={"add": (3, 0)}, graph={"times": 20, "bytes": 40 + 20},
    )  # fmt: skip
    calls = 10 * hardware.KERNEL_CALL.value + (25 + 3 - 20) * hardware.OPERATION_CALL.value
    assert predict.host_time(row) == pytest.approx(calls + 20 * hardware.GRAPH_CALL.value)


def test_transforms_pass_through_memory_once_an_axis():
    found = predict.step_time(host_row(fft={"times": 2, "bytes": 3.35e9}), {}, H100)
    bandwidth = 3.35e12 * hardware.COPY_SHARE.value * hardware.FFT_SHARE.value
    assert found.device == pytest.approx(6 * hardware.GAP.value + 3 * 3.35e9 / bandwidth)


def test_bytes_of_a_launch_are_those_of_its_signature():
    kernels = {k.name: k for k in all_kernels()}
    voxels = 256 * 256 * 160
    moved, items = costs.whole_launch(kernels["masked_scale"])
    assert items == voxels
    assert moved == sum(
        {"in": 1, "out": 1, "inout": 2}[a.role] * {"f32": 4, "u8": 1}[a.type] * voxels
        for a in kernels["masked_scale"].arguments
        if a.is_array
    )
    moved, items = costs.whole_launch(kernels["tensor_fit"])
    tables = 4 * (9 * 7 * 8 + 9 * 28 * 8 + 49)
    assert (moved, items) == (752_640 * (4 * 69 + 4 + 4 * 26) + tables, 752_640)


def test_a_kernel_whose_loops_changed_is_refused():
    with pytest.raises(costs.CostError, match="tensor_fit has 2 loops"):
        costs._cycles("tensor_fit", sass.parse(SASS)["plain"])


def test_tables_of_loops_name_kernels_that_exist():
    assert costs.LONG | set(costs.TRIPS) <= {k.name for k in all_kernels()}
    assert not costs.LONG & set(costs.TRIPS)
    assert costs._cycles("nlm", sass.parse(SASS)["plain"]) is None


@pytest.fixture
def work():
    row = host_row(
        kernel={"times": 1, "bytes": 0}, kernels={"k": {"times": 1, "bytes": 64e6, "items": 16e6}},
        host_cpu_seconds=0.5,
    )  # fmt: skip
    machine = {"commit": "abc", "date": "2026-01-02T03:04:05", "cpu": "C"}
    return {
        "machine": machine, "presets": {"fast": [row, host_row(step="t")]},
        "works": {"mnlm": {"shape": [64, 64, 40], "rows": [host_row(kernels=row["kernels"])]}},
    }  # fmt: skip


def test_every_number_is_marked_as_a_prediction_and_goals_are_judged(work):
    result = json.loads(json.dumps(command.predict(work, {"k": cost()})))
    assert (result["prediction"], result["measured"]) == (True, False)
    assert result["works"]["fast"]["H100"]["seconds"] == pytest.approx(0.5, rel=1e-3)
    (use,) = result["uses"]["mnlm"]
    assert use["bytes"] == 64 * 64e6
    text = document.document(result, work, work)
    assert "Every time on this page is a prediction." in text
    assert "| 500.0 ms | 500.0 ms | 1.00 s | met | s, host 100%;" in text
    slow = {**work, "presets": {"fast": [host_row(host_cpu_seconds=2.5)]}}
    assert "**missed** by a factor of 2.5" in document.document(
        command.predict(slow, {"k": cost()}), slow, work
    )


def test_the_page_says_when_works_were_counted_apart_from_the_presets_and_what_has_changed(work):
    later = {**work, "works_machine": {**work["machine"], "commit": "abc1234"}}
    costs = {"k": cost()}
    same, apart = (
        document.document(command.predict(w, costs), w, w, "Fewer steps now.") for w in (work, later)
    )
    assert "at commit abc1234" in " ".join(apart.split())
    assert "single works" not in same
    assert "Fewer steps now." in same


def test_a_work_whose_instructions_are_not_counted_is_judged_open(work):
    (row,) = work["works"]["mnlm"]["rows"]
    row["kernels"] = {"nlm": {"times": 1, "bytes": 64e6, "items": 16e6}}
    text = document.document(command.predict(work, {"k": cost(), "nlm": cost(cycles=None)}), work, work)
    assert "| 30.0 ms | open: instructions of nlm not counted |" in text


def test_single_works_are_scaled_to_the_whole():
    for name, shape in {"mnlm": (256, 256, 160), "tensor": (112, 112, 60), "perfusion": (128, 128, 24)}.items():
        assert command.VOXELS[name] == math.prod(shape)


def test_the_newest_result_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    with pytest.raises(UsageError, match="python -m bench host-work"):
        command.latest("host-work", "after")
    for day in ("01", "02"):
        (tmp_path / f"host-work-2026-01-{day}-after.json").touch()
    assert command.latest("host-work", "after").name == "host-work-2026-01-02-after.json"
