"""``cupy.cuda.runtime`` as far as it is used."""

from __future__ import annotations

from typing import Any

from standin import devices, memory

_MESSAGES = {
    2: "cudaErrorMemoryAllocation: out of memory",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    9: "cudaErrorInvalidConfiguration: invalid configuration argument",
    719: "cudaErrorLaunchFailure: unspecified launch failure",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture",
}


class CUDARuntimeError(RuntimeError):
    """An error that the driver reports."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(_MESSAGES[status])

    def __reduce__(self) -> tuple[type[CUDARuntimeError], tuple[int]]:
        return type(self), (self.status,)


CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"

streamCaptureModeGlobal, streamCaptureModeThreadLocal, streamCaptureModeRelaxed = 0, 1, 2


def getDeviceCount() -> int:
    """Number of devices."""
    return devices.COUNT


def getDevice() -> int:
    """The current device."""
    return devices.current()


def setDevice(device: int) -> None:
    """Make a device current."""
    devices.set_current(device)


def memGetInfo() -> tuple[int, int]:
    """Free and total bytes of the current device."""
    return memory.mem_info()


def runtimeGetVersion() -> int:
    """CUDA's version."""
    return 12090


def driverGetVersion() -> int:
    """The newest CUDA that the driver runs."""
    return 12090


def deviceSynchronize() -> None:
    """Wait for all streams of the device."""
    devices.Device().synchronize()


def getDeviceProperties(device: int) -> dict[str, Any]:
    """What programs ask of a device; the numbers of an H100."""
    if not 0 <= device < devices.COUNT:
        raise CUDARuntimeError(101)
    return {
        "name": b"stand-in",
        "major": 9,
        "minor": 0,
        "totalGlobalMem": memory.TOTAL,
        "multiProcessorCount": 132,
        "sharedMemPerBlock": 49152,
        "maxThreadsPerBlock": 1024,
        "warpSize": 32,
        "clockRate": 1980000,
        "memoryClockRate": 2619000,
        "memoryBusWidth": 5120,
        "l2CacheSize": 50 << 20,
    }
