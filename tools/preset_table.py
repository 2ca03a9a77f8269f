"""The table of methods per preset in docs/presets.md, between two marks."""

from __future__ import annotations

from qsmengine.errors import UsageError
from qsmengine.pipeline.configuration.config import preset_names, read_preset

BEGIN = "<!-- methods per preset: written by python -m tools methods -->"
END = "<!-- end -->"


def with_table(page: str) -> str:
    """Return `page` with the table in place of the text between the marks.

    Raises
    ------
    UsageError
        For a page without the marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UsageError(f"docs/presets.md needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{preset_table()}\n{END}{after}"


def preset_table() -> str:
    """Return a table with one row per section and one column per preset."""
    trees = {name: read_preset(name) for name in preset_names()}
    sections = dict.fromkeys(key for tree in trees.values() for key in tree if key != "schema_version")
    lines = [["section", *trees], ["---"] * (len(trees) + 1)]
    lines += [
        [section.replace("_", " "), *(_cell(tree.get(section)) for tree in trees.values())]
        for section in sections
        if section != "diffusion"
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(entry: dict[str, object] | None) -> str:
    """Return the method with the parameters that differ from its defaults."""
    if entry is None:
        return "none"
    settings = ", ".join(f"{key} {value}" for key, value in entry.items() if key != "method")
    return f"`{entry['method']}`" + (f" ({settings})" if settings else "")
