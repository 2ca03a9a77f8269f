"""Every kernel compiles for the required generations of GPUs without one, and does not spill."""

from __future__ import annotations

import re

import pytest

from bench import cubin, nvrtc
from qsmengine.backend.signatures import all_kernels

REQUIRED = ("sm_75", "sm_80", "sm_90")
"""The other generations are left to `python -m bench cubin`."""
FOR_THE_CPU = "nlm_pairs.cu"
"""No GPU runs it, and its machine code takes longer than any other."""
SOURCES = [
    pytest.param(s, marks=pytest.mark.xdist_group(f"machine code of {s}"))
    for s in cubin.sources()
    if s != FOR_THE_CPU
]


@pytest.mark.parametrize("source", SOURCES)
def test_compiles_without_new_spills_on_the_required_generations(source: str) -> None:
    expected = sorted(k.name for k in all_kernels() if k.source == source)
    assert set(REQUIRED) <= set(nvrtc.supported_architectures())
    for arch in REQUIRED:
        usages = nvrtc.compile_source(source, arch)
        assert sorted(u.kernel for u in usages) == expected
        assert all(u.registers > 0 for u in usages)
        assert cubin.problems(usages) == []


def test_the_kernel_that_no_gpu_runs_compiles_to_assembly() -> None:
    expected = [k.name for k in all_kernels() if k.source == FOR_THE_CPU]
    assert re.findall(r"\.entry (\w+)\(", nvrtc.ptx(FOR_THE_CPU)) == expected


COMPLEX = {k.source for k in all_kernels() if any(a.type == "c64" for a in k.arguments)}


@pytest.mark.parametrize("source", sorted(COMPLEX))
def test_both_parts_of_complex_numbers_move_at_once(source: str) -> None:
    entries = dict(re.findall(r"\.entry (\w+)\((.*?)\n}", nvrtc.ptx(source), re.DOTALL))
    for kernel in (k for k in all_kernels() if k.source == source):
        arrays = [a.role for a in kernel.arguments if a.type == "c64"]
        for word, roles in (("ld", {"in", "inout"}), ("st", {"out", "inout"})):
            moves = re.findall(rf"{word}\.global[.\w]*\.v2\.f32", entries[kernel.name])
            assert len(moves) >= sum(role in roles for role in arrays), f"{kernel.name}: {word}"


def test_accepted_spills_name_kernels_that_exist() -> None:
    assert set(cubin.ACCEPTED_SPILLS) <= {k.name for k in all_kernels()}


def test_spills_are_seen() -> None:
    rows = "".join(f"a[{i}] = f(a[{i}], x[i + {i}]); " for i in range(96))
    text = f"""
    __device__ float f(float a, float b) {{ return a * b + sqrtf(a); }}
    extern "C" __global__ void __launch_bounds__(1024, 2) crowded(float* x) {{
      float a[96];
      int i = threadIdx.x;
      for (int k = 0; k < 96; ++k) a[k] = x[k * 7 + i];
      for (int n = 0; n < 5; ++n) {{ {rows} }}
      for (int k = 0; k < 96; ++k) x[k * 11 + i] = a[k];
    }}"""
    log = nvrtc.compile_text(text, "crowded.cu", ("-arch=sm_90", "--ptxas-options=-v"))
    (usage,) = nvrtc.parse_log(log, "sm_90")
    assert usage.spills > 0
    assert len(cubin.problems([usage])) == 1


def test_compile_errors_carry_file_and_line() -> None:
    with pytest.raises(nvrtc.NvrtcError, match=r"wrong\.cu\(2\)"):
        nvrtc.compile_text("\nint a = b;\n", "wrong.cu", ("-arch=sm_90",))
