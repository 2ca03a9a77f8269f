"""Pages of the API reference: directives that mkdocstrings replaces by docstrings."""

from __future__ import annotations

import qsmengine
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
CLASSES = (
    "qsmengine.data.GreSeries",
    "qsmengine.data.DwiSeries",
    "qsmengine.data.Map",
    "qsmengine.pipeline.configuration.config.Config",
    "qsmengine.pipeline.configuration.config.load_config",
    "qsmengine.pipeline.run.results.QsmResult",
    "qsmengine.pipeline.run.results.TensorMaps",
)


def api_pages() -> dict[str, str]:
    """Return the pages by their path below docs/."""
    pages = {
        "api/index.md": INDEX + "\n".join(directive(f"qsmengine.{name}") for name in qsmengine.__all__),
        "api/results.md": RESULTS + "\n".join(directive(name) for name in CLASSES),
    }
    for stage in stage_names():
        modules = dict.fromkeys(method.run.__module__ for method in methods_of(stage).values())
        body = "\n".join(directive(module, members=True) for module in modules)
        pages[f"api/{stage}.md"] = f"# {stage}\n\n{get_stage(stage).purpose}\n\n{body}"
    return pages


def directive(name: str, *, members: bool = False) -> str:
    """Return the block that mkdocstrings replaces by the documentation of `name`."""
    options = "    options:\n      members_order: source\n" if members else ""
    return f"::: {name}\n{options}"
