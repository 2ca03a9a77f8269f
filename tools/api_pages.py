"""Pages of the API reference: directives that mkdocstrings replaces by docstrings."""

from __future__ import annotations

import qsmengine
from qsmengine.data import DwiSeries, GreSeries, Map
from qsmengine.modalities.dwi.run import TensorMaps
from qsmengine.modalities.gre.run import QsmResult
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.configuration.model import Config
from qsmengine.stages.registry import get_stage, methods_of, stage_names

INDEX = """\
# Python API

Arrays in, arrays out. NumPy and CuPy arrays are accepted; a result lives where its input lives. The names on
this page are imported from `qsmengine`. [Configuration, series, and results](results.md) describes what they
take and return; the page of a stage gives the formula, the assumptions, and the source of each of its methods.

"""
RESULTS = """\
# Configuration, series and results

"""
PARAMETERS = (
    "Defaults, ranges, and meanings of the parameters are listed under [Methods](../methods.md#{stage})."
)
OBJECTS = (GreSeries, DwiSeries, Map, load_config, Config, QsmResult, TensorMaps)
"""Objects that public functions take and return."""


def api_pages() -> dict[str, str]:
    """Return the pages by their path below docs/."""
    pages = {
        "api/index.md": INDEX + "\n".join(directive(f"qsmengine.{name}") for name in _in_reading_order()),
        "api/results.md": RESULTS
        + "\n".join(directive(f"{thing.__module__}.{thing.__qualname__}") for thing in OBJECTS),
    }
    for stage in stage_names():
        modules = dict.fromkeys(method.run.__module__ for method in methods_of(stage).values())
        body = "\n".join(directive(module, members=True) for module in modules)
        purpose = f"{get_stage(stage).purpose} {PARAMETERS.format(stage=stage)}"
        pages[f"api/{stage}.md"] = f"# {stage}\n\n{purpose}\n\n{body}"
    return pages


def _in_reading_order() -> list[str]:
    """Return the public names: reconstruction first, then the other functions, the grid, and the errors."""
    functions = [name for name in qsmengine.__all__ if name.islower() and name != "reconstruct_qsm"]
    errors = [name for name in qsmengine.__all__ if name.endswith("Error")]
    first = ["reconstruct_qsm", *functions]
    return [*first, *(name for name in qsmengine.__all__ if name not in {*first, *errors}), *errors]


def directive(name: str, *, members: bool = False) -> str:
    """Return the block that mkdocstrings replaces by the documentation of `name`."""
    options = "    options:\n      members_order: source\n" if members else ""
    return f"::: {name}\n{options}"
