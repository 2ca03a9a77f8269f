"""The ``qsmengine`` command as a process of its own, also ``python -m qsmengine``."""

from __future__ import annotations

import gc
import os
import sys

COLLECT_AFTER = 150_000
"""The modules of a command make some 80 000 objects that stay; the interpreter's default is 700."""
BLAS_WAIT = "16"
"""Logarithm of the processor cycles that idle threads of OpenBLAS stay busy; its own default is 28, 0.1 s."""


def run() -> int:
    """Run the command line of this process and return its exit code.

    The help alone is printed without importing the parser of the command line.
    Pydantic searches every installed package for plugins unless that is switched off. The interpreter searches
    all objects for cycles whenever `COLLECT_AFTER` more of them exist, and when it ends, except frozen ones.
    OpenBLAS reads `BLAS_WAIT` when NumPy is imported; its threads would take the processors from the kernels.
    """
    if sys.argv[1:] in (["--help"], ["-h"]):
        from qsmengine.cli.display.overview import overview

        sys.stdout.write(overview())
        return 0
    gc.set_threshold(COLLECT_AFTER)
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", BLAS_WAIT)
    from qsmengine.cli.main import main

    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code = main()
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(run())
