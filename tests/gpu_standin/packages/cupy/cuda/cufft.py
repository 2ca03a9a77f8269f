"""``cupy.cuda.cufft``."""

from standin.cufft import (
    CUFFT_C2C,
    CUFFT_C2R,
    CUFFT_D2Z,
    CUFFT_FORWARD,
    CUFFT_INVERSE,
    CUFFT_R2C,
    CUFFT_Z2D,
    CUFFT_Z2Z,
    CuFFTError,
    Plan1d,
    PlanNd,
    get_current_plan,
)

__all__ = [
    "CUFFT_C2C",
    "CUFFT_C2R",
    "CUFFT_D2Z",
    "CUFFT_FORWARD",
    "CUFFT_INVERSE",
    "CUFFT_R2C",
    "CUFFT_Z2D",
    "CUFFT_Z2Z",
    "CuFFTError",
    "Plan1d",
    "PlanNd",
    "get_current_plan",
]
