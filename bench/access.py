"""`python -m bench access`: sectors of global memory and passes over shared memory, from emulated launches."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bench.emulator.access import Access, accesses, combined, inefficient
from bench.emulator.build import unsupported
from bench.emulator.kernels import EMULATED


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench access", description=__doc__)
    parser.add_argument("--kernel", action="append", help="only this kernel (may be repeated)")
    parser.add_argument("--lines", action="store_true", help="every source line and array too")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args(argv)
    if unsupported() is not None:
        print(unsupported())
        return 1
    found = [accesses(k) for k in EMULATED if not options.kernel or k.name in options.kernel]
    print(f"{'kernel':28} {'requests':>9} {'sectors':>8} {'used':>5} {'shared':>9} {'passes':>7}")
    for kernel in found:
        print(_line(summary(kernel)))
        for access in kernel if options.lines else inefficient(kernel):
            print(f"  {access.place:24} {access.direction:5} {access.argument:16} {access.efficiency:4.0%}")
    if options.json is not None:
        rows = [{**summary(k), "accesses": [a.as_dict() for a in k]} for k in found]
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def summary(found: list[Access]) -> dict[str, Any]:
    """One kernel's row.

    requests and shared_requests: of warps, those for one address left out; sectors: of 32 bytes, a request;
    used: share of their bytes that the lanes ask for; passes: over the banks of shared memory, times the
    fewest.
    """
    memory, shared = combined(found, "global"), combined(found, "shared")
    return {
        "kernel": found[0].kernel,
        "requests": memory.requests,
        "sectors": memory.units / max(1, memory.requests),
        "used": memory.efficiency,
        "shared_requests": shared.requests,
        "passes": 1.0 / shared.efficiency,
    }


def rows() -> list[dict[str, Any]]:
    """The summaries of all kernels, for documents."""
    return [summary(accesses(kernel)) for kernel in EMULATED]


def _line(row: dict[str, Any]) -> str:
    shared = f"{row['shared_requests']:9} {row['passes']:7.2f}" if row["shared_requests"] else ""
    return f"{row['kernel']:28} {row['requests']:9} {row['sectors']:8.2f} {row['used']:5.0%} {shared}".rstrip()
