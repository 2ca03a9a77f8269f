"""Make one head of the accuracy study and keep it in a file.

    python -m bench heads --subject 2 --voxel-size 1 --out head.npz

The head has tissue of 0.5 mm (1 mm for voxels of 2 mm and more) with smooth boundaries, bone and air, neck,
shim, coil phase and noise; the complex signal is cut out of k-space to the voxels. The file holds
`magnitude` and `phase` (x, y, z, echo), `mask` (the brain), `given` (the mask for reconstructions, with the
errors of the kind), `labels`, `chi`, `local_field`, `total_field` (x, y, z) [ppm], `echo_times` [s],
`field_strength` [T], `affine`:

    from bench.accuracy.heads import load
    case = load("head.npz")
    case.series, case.mask, case.truth["chi"], case.grid.b0_direction

A head takes about a minute of two cores and 6 GB of memory. The same options make the same head.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from bench.accuracy.heads import given_mask, make_head, save
from bench.accuracy.people import Person
from bench.accuracy.scenarios import ECHO_TIMES, KINDS, Scenario
from qsmengine.errors import UsageError
from qsmengine.phantom.labels import SUBJECTS


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    if (options.field_strength, options.echoes) not in ECHO_TIMES:
        raise UsageError(f"there are no echo times for {options.echoes} echoes at {options.field_strength:g} T")
    seed = options.subject if options.seed is None else options.seed
    kind = next(kind for kind in KINDS if kind.name == options.kind)
    if options.features is not None:
        kind = replace(kind, features=tuple(options.features))
    scenario = Scenario(
        "one head", options.field_strength, options.echoes, options.snr or None, options.tilt,
        options.voxel_size, kind=kind,
    )  # fmt: skip
    head = make_head(scenario, Person(options.subject, seed, options.deformation))
    save(options.out, head, given_mask(head, kind.mask_error, seed))
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
    add("--deformation", type=float, default=0.0, help="of the label map, standard deviation [mm, default: 0]")
    add("--kind", choices=[kind.name for kind in KINDS], default="plain", help="of head [default: plain]")
    add(
        "--features", nargs="*", choices=("veins", "calcifications", "lesions"),
        help="drawn into the brain [default: those of the kind]",
    )  # fmt: skip
    return parser
