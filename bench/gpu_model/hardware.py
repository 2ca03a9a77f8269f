"""The GPUs that times are predicted for: their data sheets, and the assumptions of the predictions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """Limits of a GPU.

    Parameters
    ----------
    name
        Of the card.
    bandwidth
        Of its memory, by the data sheet [bytes/s].
    multiprocessors
        Their number.
    clock
        Of a multiprocessor under load [Hz].
    """

    name: str
    bandwidth: float
    multiprocessors: int
    clock: float


H100 = Gpu("H100", 3.35e12, 132, 1.755e9)
H200 = Gpu("H200", 4.8e12, 132, 1.755e9)
GPUS = (H100, H200)
ARCHITECTURE = "sm_90"
"""Of both."""

SCHEDULERS = 4
"""Of a multiprocessor; each issues one instruction of a warp in a cycle."""
WARP = 32


@dataclass(frozen=True)
class Assumption:
    """A number that no data sheet gives."""

    value: float
    unit: str
    meaning: str


COPY_SHARE = Assumption(0.90, "1", "share of the data sheet's bandwidth that a plain copy reaches")
LATENCY = Assumption(800e-9, "s", "from a load to its value; with the bytes in flight it limits the bandwidth")
ISSUE_SHARE = Assumption(0.75, "1", "share of the cycles in which a scheduler finds a ready warp")
BUSY_WARPS = Assumption(
    4.0, "warps", "warps that a scheduler needs to find a ready one that often; fewer warps in proportion"
)
FFT_PASSES = Assumption(
    3.0, "1", "passes of cuFFT through memory per 3-D transform: one per axis, each reads and writes"
)
FFT_SHARE = Assumption(0.80, "1", "share of a copy's bandwidth that a pass of cuFFT reaches")
GAP = Assumption(1.5e-6, "s", "on the device, from the end of one queued kernel to the start of the next")
KERNEL_CALL = Assumption(
    6e-6, "s", "host time in CuPy per kernel of the engine, in addition to the engine's own code"
)
OPERATION_CALL = Assumption(8e-6, "s", "host time in CuPy per array operation or planned transform")
GRAPH_CALL = Assumption(10e-6, "s", "host time per launch of a captured graph")
WAIT = Assumption(
    12e-6, "s", "until the host learns that the device is done, while the device's queue is empty"
)
PAGEABLE = Assumption(10e9, "bytes/s", "bandwidth of a copy between the device and pageable host memory")
ASSUMPTIONS = {
    "copy share": COPY_SHARE,
    "latency": LATENCY,
    "issue share": ISSUE_SHARE,
    "busy warps": BUSY_WARPS,
    "FFT passes": FFT_PASSES,
    "FFT share": FFT_SHARE,
    "gap": GAP,
    "kernel call": KERNEL_CALL,
    "operation call": OPERATION_CALL,
    "graph call": GRAPH_CALL,
    "wait": WAIT,
    "pageable copy": PAGEABLE,
}
