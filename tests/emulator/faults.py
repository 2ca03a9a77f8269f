"""The kernels of faults.cu: what the emulator must report of each."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

FAULTS = {
    "missing_barrier": "race: a thread reads what another has written of the scratch",
    "missing_last_barrier": "race: a thread writes what another has read of the scratch",
    "race_of_threads": "race: two threads write y",
    "race_of_blocks": "race: a thread reads what another has written of y",
    "write_by_all": "race: two threads write y",
    "read_past_the_end": "read outside every array, the nearest is x",
    "write_past_the_end": "write outside every array, the nearest is y",
    "read_far_away": "read far from every array",
    "past_the_scratch": "access outside the scratch",
    "past_the_last_scratch": "access outside the scratch",
    "unwritten_scratch": "scratch is read before it is written",
    "unwritten_output": "the output y is read before it is written",
    "incomplete_output": "the output y is not written in full",
    "written_input": "write to the input x",
    "divergent_barrier": "threads of a block wait at different barriers",
    "exchange_by_some": "some threads of a warp do not take part in an exchange",
    "barrier_for_some": "threads end while others wait at the barrier",
}
UNINITIALISED = "unwritten_private"
"""Its result differs from the CPU's; there is nothing to report."""

KERNELS = {
    name: Kernel(name, "faults.cu", "x: in f32 [rows n]\ny: out f32 [rows n]", items="rows n")
    for name in (*FAULTS, UNINITIALISED)
}
