"""Launches through the stand-in's RawModule are checked against the C parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

CODE = """
#define TILE_THREADS 256
KERNEL(masked_scale, (float* RESTRICT x, const u8* RESTRICT mask, float factor, Index n),
       (x, mask, factor, n)) {
}
"""
BLOCK = (32, 8, 1)


@pytest.fixture
def scale(cupy: Any) -> Any:
    return cupy.RawModule(code=CODE, options=("--std=c++17",)).get_function("masked_scale")


@pytest.fixture
def arguments(cupy: Any) -> dict[str, Any]:
    return {
        "x": cupy.ones((2, 3), np.float32),
        "mask": cupy.ones((2, 3), np.uint8),
        "factor": np.float32(2),
        "n": np.int64(6),
    }


WRONG = {
    "type of an array": lambda cp, a: a | {"x": a["x"].astype(np.float64)},
    "order of an array": lambda cp, a: a | {"x": cp.ones((3, 2), np.float32).T},
    "host array": lambda cp, a: a | {"x": np.ones((2, 3), np.float32)},
    "Python's float": lambda cp, a: a | {"factor": 2.0},
    "type of a number": lambda cp, a: a | {"n": np.int32(6)},
    "array for a number": lambda cp, a: a | {"n": a["x"]},
    "missing": lambda cp, a: {k: v for k, v in a.items() if k != "n"},
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused(case: str, cupy: Any, scale: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="masked_scale"):
        scale((1,), BLOCK, tuple(WRONG[case](cupy, arguments).values()))


@pytest.mark.parametrize("grid", [(0,), (2**31,), (1, 65536)])
def test_grids_beyond_the_limits_are_refused(
    grid: tuple[int, ...], cupy: Any, scale: Any, arguments: dict[str, Any]
) -> None:
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="InvalidConfiguration"):
        scale(grid, BLOCK, tuple(arguments.values()))


def test_blocks_of_another_shape_are_refused(scale: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="32 x 8"):
        scale((1,), (256, 1, 1), tuple(arguments.values()))


def test_a_source_may_ask_for_smaller_blocks(cupy: Any, arguments: dict[str, Any]) -> None:
    few = cupy.RawModule(code=CODE.replace("256", "128")).get_function("masked_scale")
    with pytest.raises(AssertionError, match="32 x 4"):
        few((1,), BLOCK, tuple(arguments.values()))


def test_sources_with_includes_and_unknown_options_do_not_compile(cupy: Any) -> None:
    with pytest.raises(cupy.cuda.compiler.CompileException, match="cannot open source file"):
        cupy.RawModule(code='#include "tile.h"\n' + CODE)
    with pytest.raises(cupy.cuda.compiler.CompileException, match="unrecognized option"):
        cupy.RawModule(code=CODE, options=("--std=c++17", "-O3"))
    with pytest.raises(RuntimeError, match="named symbol not found"):
        cupy.RawModule(code=CODE).get_function("masked_scaling")
