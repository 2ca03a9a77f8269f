"""``cupy.fft.config``."""

from standin.plans import get_plan_cache

__all__ = [
    "clear_plan_cache",
    "get_plan_cache",
    "get_plan_cache_max_memsize",
    "get_plan_cache_size",
    "set_plan_cache_max_memsize",
    "set_plan_cache_size",
]


def clear_plan_cache() -> None:
    """Forget the plans of this thread and device."""
    get_plan_cache().clear()


def get_plan_cache_size() -> int:
    """How many plans may be kept."""
    return get_plan_cache().get_size()


def set_plan_cache_size(size: int) -> None:
    """Set how many plans may be kept."""
    get_plan_cache().set_size(size)


def get_plan_cache_max_memsize() -> int:
    """How many bytes the work areas may have."""
    return get_plan_cache().get_memsize()


def set_plan_cache_max_memsize(size: int) -> None:
    """Set how many bytes the work areas may have."""
    get_plan_cache().set_memsize(size)
