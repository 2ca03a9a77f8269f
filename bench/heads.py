"""Make one head of the accuracy study and keep it in a file.

    python -m bench heads --subject 2 --voxel-size 1 --out head.npz

The head has tissue of 0.5 mm with smooth boundaries, bone and air, neck, shim, coil phase and noise; the
complex signal is cut out of k-space to the voxels. The file holds `magnitude`, `phase` (x, y, z, echo), `mask`,
`labels`, `chi`, `local_field`, `total_field` (x, y, z) [ppm], `echo_times` [s], `field_strength` [T], `affine`:

    from bench.accuracy.heads import load
    case = load("head.npz")
    case.series, case.mask, case.truth["chi"], case.grid.b0_direction

A head takes about a minute of two cores and 6 GB of memory. The same options make the same head.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from bench.accuracy.heads import SCANNERS, save
from bench.accuracy.scenarios import ECHO_TIMES, SUBJECTS, Scenario
from qsmengine.errors import UsageError


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    if (options.field_strength, options.echoes) not in ECHO_TIMES:
        raise UsageError(f"there are no echo times for {options.echoes} echoes at {options.field_strength:g} T")
    seed = options.subject if options.seed is None else options.seed
    scenario = Scenario(
        "one head",
        options.field_strength,
        options.echoes,
        options.snr or None,
        options.tilt,
        options.voxel_size,
    )
    scanner = replace(
        SCANNERS["fine"], subject=options.subject, seed=seed, b0_direction=scenario.b0_direction,
        features=tuple(options.features),
    )  # fmt: skip
    head = scanner.scan(
        voxel_size=(scenario.voxel_size,) * 3, field_strength=scenario.field_strength,
        echo_times=scenario.echo_times, snr=scenario.snr,
    )  # fmt: skip
    save(options.out, head)
    print(options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench heads", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="file (.npz)")
    add("--subject", type=int, choices=SUBJECTS, default=1, help="label map [default: 1]")
    add("--seed", type=int, help="of texture, features, coil and noise [default: the subject's number]")
    add("--voxel-size", type=float, default=1.0, help="[mm, default: 1]")
    add("--field-strength", type=float, default=3.0, help="3 or 7 [T, default: 3]")
    add("--echoes", type=int, default=4, help="1, 2 or 4 [default: 4]")
    add(
        "--snr", type=float, default=100.0, help="in white matter at the first echo; 0: no noise [default: 100]"
    )
    add("--tilt", type=float, default=0.0, help="of B0 against the third axis [degrees]")
    add(
        "--features", nargs="*", default=("veins", "calcifications", "lesions"),
        help="drawn into the brain [default: veins calcifications lesions]",
    )  # fmt: skip
    return parser
