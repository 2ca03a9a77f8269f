"""Predicted times: what a device must move and compute, what the host must ask for, the longer of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.gpu_model import hardware as hw
from bench.gpu_model.hardware import Gpu
from bench.gpu_model.occupancy import Occupancy
from bench.host_work.command import IDLE


@dataclass(frozen=True)
class KernelCost:
    """Cost of one kernel, independent of where it is launched.

    Parameters
    ----------
    name
        Of the kernel.
    registers, shared_bytes
        Of a thread and of a block.
    occupancy
        That follows from them.
    cycles
        Of a scheduler for a warp of work items; None where the machine code was not read.
    efficiency
        Useful bytes over those that its requests fetch.
    busy_warps
        Warps that a scheduler needs to find a ready one as often as assumed.
    """

    name: str
    registers: int
    shared_bytes: int
    occupancy: Occupancy
    cycles: float | None = None
    efficiency: float = 1.0
    busy_warps: float = hw.BUSY_WARPS.value

    def memory_seconds(self, moved: float, items: float, gpu: Gpu) -> float:
        """Time to move `moved` bytes for `items` work items.

        Little's law bounds the bandwidth: the bytes in flight, those of one work item in each resident thread,
        over the latency.
        """
        if not moved:
            return 0.0
        in_flight = self.occupancy.warps * hw.WARP * moved / max(items, 1.0) * gpu.multiprocessors
        bandwidth = min(hw.COPY_SHARE.value * gpu.bandwidth, in_flight / hw.LATENCY.value)
        return moved / (bandwidth * self.efficiency)

    def issue_seconds(self, items: float, gpu: Gpu) -> float:
        """Time to issue the instructions of `items` work items; 0 where they are not known."""
        if self.cycles is None:
            return 0.0
        schedulers = gpu.multiprocessors * hw.SCHEDULERS
        ready = self.occupancy.warps / hw.SCHEDULERS / self.busy_warps
        share = hw.ISSUE_SHARE.value * min(1.0, ready)
        return items / hw.WARP * self.cycles / (schedulers * gpu.clock * share)

    def floor_seconds(self, moved: float, items: float, gpu: Gpu) -> float:
        """The least time there can be: all of the bandwidth, every scheduler busy in every cycle."""
        issue = items / hw.WARP * (self.cycles or 0.0) / (gpu.multiprocessors * hw.SCHEDULERS * gpu.clock)
        return max(moved / gpu.bandwidth, issue)

    def seconds(self, launches: int, moved: float, items: float, gpu: Gpu) -> float:
        """Time of `launches` launches that together move `moved` bytes for `items` work items."""
        busy = max(self.memory_seconds(moved, items, gpu), self.issue_seconds(items, gpu))
        return busy + launches * hw.GAP.value


@dataclass(frozen=True)
class StepTime:
    """Predicted seconds of a step: on the device, of the host, in copies, in waits."""

    step: str
    device: float
    host: float
    copies: float
    waits: float

    @property
    def seconds(self) -> float:
        """Device and host work side by side; copies and waits stop both."""
        return max(self.device, self.host) + self.copies + self.waits


def step_time(
    row: Mapping[str, Any], costs: Mapping[str, KernelCost], gpu: Gpu, scale: float = 1.0
) -> StepTime:
    """Prediction for a row of `bench host-work`, its bytes and work items taken `scale` times.

    Raises
    ------
    KeyError
        For a kernel without a cost.
    """
    kernels = sum(
        costs[name].seconds(use["times"], scale * use["bytes"], scale * use["items"], gpu)
        for name, use in row["kernels"].items()
    )
    copy = hw.COPY_SHARE.value * gpu.bandwidth
    working = [(times, size) for name, (times, size) in row["operations"].items() if name not in IDLE]
    operations = sum(times * hw.GAP.value + scale * size / copy for times, size in working)
    transforms = row["fft"]["times"] * hw.FFT_PASSES.value * hw.GAP.value
    transforms += scale * hw.FFT_PASSES.value * row["fft"]["bytes"] / (hw.FFT_SHARE.value * copy)
    copied = sum(row[way]["bytes"] for way in ("to device", "to host"))
    return StepTime(
        row["step"], kernels + operations + transforms, host_time(row), scale * copied / hw.PAGEABLE.value,
        row["sync"]["times"] * hw.WAIT.value,
    )  # fmt: skip


def host_time(row: Mapping[str, Any]) -> float:
    """Seconds of the host in a row: what was clocked, and the calls into CuPy.

    What a captured graph runs (the size of its launches is their number) is not called again.
    """
    replayed = row["graph"]["bytes"] - (row["kernel"]["times"] - row["called"])
    working = sum(times for name, (times, _) in row["operations"].items() if name not in IDLE)
    others = max(0, row["fft"]["times"] + working - replayed)
    calls = row["called"] * hw.KERNEL_CALL.value + others * hw.OPERATION_CALL.value
    seconds: float = row["host_cpu_seconds"] + calls + row["graph"]["times"] * hw.GRAPH_CALL.value
    return seconds


def chain_time(steps: Iterable[StepTime]) -> float:
    """Seconds of all steps."""
    return sum(step.seconds for step in steps)
