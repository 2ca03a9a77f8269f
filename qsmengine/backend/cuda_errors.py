"""Classification of CUDA's errors: the device is lost to this process, memory ran out, or one call failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qsmengine.backend.device import Device
from qsmengine.errors import OutOfMemoryError

LOST = {
    214: "cudaErrorECCUncorrectable",
    220: "cudaErrorNvlinkUncorrectable",
    226: "cudaErrorContained",
    700: "cudaErrorIllegalAddress",
    702: "cudaErrorLaunchTimeout",
    709: "cudaErrorContextIsDestroyed",
    710: "cudaErrorAssert",
    714: "cudaErrorHardwareStackError",
    715: "cudaErrorIllegalInstruction",
    716: "cudaErrorMisalignedAddress",
    717: "cudaErrorInvalidAddressSpace",
    718: "cudaErrorInvalidPc",
    719: "cudaErrorLaunchFailure",
    721: "cudaErrorTensorMemoryLeak",
    810: "cudaErrorMpsClientTerminated",
    911: "cudaErrorExternalDevice",
    999: "cudaErrorUnknown",
}
"""Errors after which a process must end; the driver uses the same codes.

NVIDIA's documentation of ``cudaError`` (``driver_types.h`` of CUDA 12.9) says of 226, 700, 702, 710, 714 to
719, 721, 810 and 911: "To continue using CUDA, the process must be terminated and relaunched." The others are
uncorrectable errors of memory (214) and link (220), a destroyed context (709), and the error of a GPU that fell
off the bus (999). All other codes concern a single call: 1 (invalid value), 2 (out of memory),
46 (device busy), 101 (no such device), 209 (no code for this GPU), 600 (not ready), 701 (too many resources for
a launch), 900 to 908 (stream capture).
"""

_ALLOCATION = {
    "CUDARuntimeError": 2,
    "CUDADriverError": 2,
    "CuFFTError": 2,
    "CUBLASError": 3,
    "CUSOLVERError": 2,
    "CuSparseError": 2,
}
"""Codes with which CuPy's exceptions report a failed allocation: cudaErrorMemoryAllocation,
CUDA_ERROR_OUT_OF_MEMORY, CUFFT_ALLOC_FAILED, CUBLAS_, CUSOLVER_ and CUSPARSE_STATUS_ALLOC_FAILED."""


def is_device_lost(error: BaseException) -> bool:
    """Return True if no CUDA call can succeed in this process after `error` or its cause."""
    return any(
        type(one).__name__ in {"CUDARuntimeError", "CUDADriverError"} and _code(one) in LOST
        for one in _causes(error)
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if `error` or its cause is a failed allocation on the host or a device."""
    return any(
        isinstance(one, MemoryError | OutOfMemoryError)
        or (_code(one) is not None and _ALLOCATION.get(type(one).__name__) == _code(one))
        for one in _causes(error)
    )


@contextmanager
def memory_errors(what: str, device: Device) -> Iterator[None]:
    """Raise any failed allocation as an OutOfMemoryError that names the operation `what` and `device`."""
    try:
        yield
    except OutOfMemoryError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{what}: out of memory on {device} ({error or type(error).__name__})"
            ) from error
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and the errors from which it was raised."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def _code(error: BaseException) -> int | None:
    """Return the number that an exception of CuPy carries; None for any other exception."""
    if not type(error).__module__.startswith("cupy"):
        return None
    code = getattr(error, "status", getattr(error, "result", None))
    return code if isinstance(code, int) else None
