"""`python -m bench cubin`: every kernel compiled for every supported GPU, without one; registers and spills."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from bench import nvrtc
from qsmengine.backend.signatures import all_kernels

SHARED_LIMIT = 48 * 1024
"""Static shared memory a block may have on every architecture [bytes]."""

ACCEPTED_SPILLS = {
    "nlm": 1500,
    "nlm_pairs": 3000,
    "nlm_packed": 1600,
    "nlm_blocks": 400,
    "nlm_lmmse": 100,
    "kurtosis_fit": 1000,
    "edge_adjoint": 24,
    "bet_evolve": 16,
    "series_median": 24,
    "tv_gradient_step": 32,
    "tensor_search": 1000,
    "free_water_fit": 160,
    "tensor_fit": 100,
    "log_contrast": 32,
    "leakage_fit": 44,
    "truncated_residue": 16,
    "tikhonov_residue": 88,
    "matrix_residue": 40,
    "spoiled_decay": 32,
    "spoiled_fit": 40,
    "spin_echo_fit": 24,
    "balanced_fit": 32,
    "tissue_step": 48,
    "dilated_classes": 32,
}
"""Kernel -> spilled bytes accepted: nlm spills on sm_75 only, edge_adjoint on sm_90 only, bet_evolve on
sm_80 only, series_median, tv_gradient_step and balanced_fit on sm_100 only, kurtosis_fit on sm_75, sm_100 and
sm_120, in addition to 6.4 kB of matrices, nlm_lmmse has 2.6 kB of matrices and spills on sm_120 only, nlm_pairs
is the CPU's form and never runs on a GPU, nlm_packed and nlm_blocks spill on sm_100 and sm_120. The fits of
tensors, kurtosis and free water are held to 168 registers, so that 12 warps share a multiprocessor, not 8. The
kernels of perfusion, tissue_step and dilated_classes (sm_80) spill a few registers on single architectures to
fit more blocks on a multiprocessor."""


def sources() -> list[str]:
    return sorted({k.source for k in all_kernels() if k.source.endswith(".cu")})


def problems(usages: Iterable[nvrtc.Usage]) -> list[str]:
    """One line for every spill that is not accepted, and every block that needs too much shared memory."""
    found = []
    for u in usages:
        accepted = ACCEPTED_SPILLS.get(u.kernel, 0)
        if u.spills > accepted:
            found.append(f"{u.kernel} on {u.arch}: spills {u.spills} bytes ({accepted} accepted)")
        if u.shared_bytes > SHARED_LIMIT:
            found.append(
                f"{u.kernel} on {u.arch}: {u.shared_bytes} bytes of shared memory (limit {SHARED_LIMIT})"
            )
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench cubin", description=__doc__)
    parser.add_argument("--arch", nargs="*", help="architectures (default: all that NVRTC knows)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(argv)
    architectures = options.arch or nvrtc.supported_architectures()
    usages = [u for s in sources() for a in architectures for u in nvrtc.compile_source(s, a)]
    print(
        f"NVRTC {nvrtc.version()}\n{'kernel':32} {'arch':8} {'registers':>9} {'shared':>7} "
        f"{'stack':>6} {'spills':>7}"
    )
    for u in sorted(usages, key=lambda u: u.kernel):
        print(f"{u.kernel:32} {u.arch:8} {u.registers:9} {u.shared_bytes:7} {u.stack_bytes:6} {u.spills:7}")
    if options.json is not None:
        rows = {"nvrtc": nvrtc.version(), "kernels": [asdict(u) for u in usages]}
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    bad = problems(usages)
    print("\n".join(bad) or "no spills beyond the accepted ones")
    return 1 if bad else 0
