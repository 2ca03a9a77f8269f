"""`python -m bench NAME [options]`; `python -m bench NAME --help` lists the options of one."""

from __future__ import annotations

import sys
from importlib import import_module

from bench.dispatch import dispatch

COMMANDS = {
    "kernels": "every kernel on each device against the time to move its bytes",
    "stages": "every registered method on a synthetic head",
    "qsm": "whole presets: seconds, memory, iterations against their FFTs",
    "startup": "whole commands as users type them, and fixed costs of TFI and MCPC-3D-S",
    "tv": "one iteration of weighted total variation against its four FFTs alone",
    "diffusion": "the tensor fit against the fitters that are installed",
    "anatomy": "tissues and deep grey matter of drawn T1-weighted images against the truth",
    "atlas": "nuclei of atlases in drawn heads, with and without the susceptibility map",
    "atrophy": "group differences of volumes in a drawn cohort, as segmentation measures them",
    "regions": "a session's own labels on its maps against the true ones, and registrations to refuse",
    "lost-slices": "lost slices and false alarms in diffusion series of drawn heads",
    "dsc": "perfusion maps from a bolus series, whole chains",
    "vfa": "R1, R2* and proton density from files to files, against reading and qmrpy",
    "nlm": "joint non-local means against DIPY and scikit-image",
    "tfce": "permutation inference with TFCE against nilearn",
    "denoising": "effect of denoising on a virtual head's signal, R2*, and susceptibility",
    "access": "sectors and bank conflicts of every kernel, from emulated launches (needs no GPU)",
    "cubin": "registers and spills of every kernel on every GPU architecture (needs no GPU)",
    "accuracy": "every method and preset against the truth of virtual heads",
    "heads": "make one head of the accuracy study",
    "uncertainty": "how often intervals of chi contain the truth of virtual heads, and their calibration",
    "cohort": "planning a cohort: seconds and memory",
    "gpu": "tests, checks, and timings on a machine with a GPU, the most important first",
    "gpu-model": "predicted times on an H100 and an H200, and docs/gpu.md (needs no GPU)",
    "host-work": "work of the host in a whole chain while a GPU would wait (needs no GPU)",
}
MOVED = {
    "methods": ("tools", "methods"),
    "gallery": ("tools", "gallery"),
    "pictures": ("tools", "diffusion-pictures"),
    "boutiques": ("tools", "boutiques"),
    "submissions": ("tools", "submissions"),
    "denoise": ("bench", "nlm"),
}
"""Former name -> package and name; the former names are accepted until the next version."""


def main(argv: list[str]) -> int:
    if argv and argv[0] in MOVED:
        package, name = MOVED[argv[0]]
        print(f"note: this is now python -m {package} {name}", file=sys.stderr)
        moved: int = import_module(f"{package}.__main__").main([name, *argv[1:]])
        return moved
    return dispatch("bench", COMMANDS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
