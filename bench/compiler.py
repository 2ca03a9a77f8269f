"""The C++ compiler of this machine, with which tests and the emulator build single kernel sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache


@cache
def compiler() -> str:
    """Name of the compiler: CXX if set, otherwise the first of g++, c++, and clang++ that is installed."""
    for name in (os.environ.get("CXX"), "g++", "c++", "clang++"):
        if name and shutil.which(name):
            return name
    raise FileNotFoundError("no C++ compiler: set CXX")


@cache
def compiler_version() -> str:
    return subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
