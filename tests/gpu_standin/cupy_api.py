"""Write down what an installed CuPy offers: names, parameters and ufunc types.

The stand-in allows only what these files list. CuPy's wheels import without a driver, so a machine without a
GPU makes them::

    python -m venv venv && venv/bin/pip install "cupy-cuda12x==14.*" scipy
    venv/bin/python tests/gpu_standin/cupy_api.py tests/gpu_standin/packages/standin/api14.json

Each name maps to one string: ``u`` and the loops of a ufunc, ``f`` and the parameters of a function, ``t`` for
a class, ``o`` for anything else. A parameter with ``=`` has a default.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

MODULES = (
    "cupy",
    "cupy.cuda",
    "cupy.cuda.cufft",
    "cupy.cuda.memory",
    "cupy.cuda.runtime",
    "cupy.fft",
    "cupy.fft.config",
    "cupy.linalg",
    "cupy.random",
    "cupyx",
    "cupyx.scipy.fft",
    "cupyx.scipy.ndimage",
    "cupyx.scipy.special",
)
CLASSES = ("cupy.ndarray", "cupy.cuda.Stream", "cupy.cuda.Event", "cupy.cuda.Graph", "cupy.cuda.MemoryPool")

_STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def describe(thing: Any) -> str:
    """One name in the notation of the files."""
    loops = getattr(thing, "types", None)
    if type(thing).__name__ == "ufunc" and loops:
        return "u" + " ".join(loops)
    if isinstance(thing, type):
        return "t"
    if not callable(thing):
        return "o"
    parameters = _parameters(thing)
    return "o" if parameters is None else "f" + parameters


def _parameters(thing: Any) -> str | None:
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return _from_docstring(thing)
    words: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not any(w.startswith("*") for w in words):
            words.append("*")
        default = "=" if parameter.default is not parameter.empty else ""
        words.append(_STARS.get(parameter.kind, "") + parameter.name + default)
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
    return ",".join(word for word in words if word != "self")


def _from_docstring(thing: Any) -> str | None:
    """Parameters as Cython writes them into the first line of a docstring."""
    line = (getattr(thing, "__doc__", None) or "").split("\n", 1)[0]
    match = re.search(r"\w\((.*)\)(\s*->.*)?$", line)
    if match is None:
        return None
    words = []
    for part in match[1].split(","):
        name, equals, _ = part.strip().partition("=")
        if name and name != "self":
            words.append(name.split(" ")[-1] + equals)
    return ",".join(words)


def main() -> None:
    """Write the file named on the command line."""
    import cupy

    places: dict[str, Any] = {name: importlib.import_module(name) for name in MODULES}
    for name in CLASSES:
        module, _, attribute = name.rpartition(".")
        places[name] = getattr(importlib.import_module(module), attribute)
    names = {
        place: {n: describe(getattr(owner, n)) for n in dir(owner) if not n.startswith("_")}
        for place, owner in places.items()
    }
    dunders = [n for n in dir(cupy.ndarray) if n.startswith("__")]
    content = {"version": cupy.__version__, "operators": " ".join(dunders), "names": names}
    Path(sys.argv[1]).write_text(json.dumps(content, indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
