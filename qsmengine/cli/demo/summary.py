"""Results of the demo: printed at the end and saved as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qsmengine.backend.device import Device
from qsmengine.cli.display.reporter import Reporter
from qsmengine.io.atomic import write_json
from qsmengine.pipeline.outputs.provenance import machine, software


class Summary:
    """Tables of the demo by title, in order."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._tables: dict[str, tuple[Sequence[str], Sequence[Sequence[Any]]]] = {}
        self._facts: dict[str, Any] = {}

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table: its title, column names, and rows of strings or numbers."""
        self._tables[title] = (columns, rows)

    def fact(self, name: str, value: Any) -> None:
        """Add a number that appears only in the JSON file."""
        self._facts[name] = value

    def finish(self, out: Path, device: Device, seconds: float) -> None:
        """Print the tables, write ``summary.json``."""
        for title, (columns, rows) in self._tables.items():
            self._reporter.say()
            self._reporter.say(title)
            for line in layout([columns, *rows]):
                self._reporter.say(f"  {line}")
        tables = {t: [dict(zip(c, row, strict=True)) for row in rows] for t, (c, rows) in self._tables.items()}
        content = {
            "Seconds": round(seconds, 1),
            **machine(device),
            "Software": software(),
            **self._facts,
            **tables,
        }
        write_json(out / "summary.json", content)
        self._reporter.say()
        drawn = any(out.rglob("*.png"))
        what = "maps, tables, and pictures (*.png)" if drawn else "maps and tables"
        self._reporter.say(f"{seconds:.0f} s in total; {what} are in {out}")


def layout(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Format rows as lines with aligned columns; numbers are right-aligned and rounded."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [all(not isinstance(v, str) for v in column[1:]) for column in zip(*rows, strict=True)]
    lines = []
    for row in cells:
        padded = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines


def _text(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.5f}" if 0.99 < abs(cell) < 1.0 else f"{cell:.4g}" if abs(cell) < 1 else f"{cell:.1f}"
    return str(cell)
