"""Reproducible figures without global state, written atomically."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_atomic

FONT = "DejaVu Sans"
DPI = 150


def new_figure(width: float, height: float, colour: str) -> Figure:
    """Make an empty figure of `width` x `height` [inch] on its own Agg canvas."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=colour)
    FigureCanvasAgg(figure)
    return figure


def write_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically, without date or software name.

    Raises
    ------
    InputError
        For a path that does not end in .png.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise InputError("the name of a figure must end in .png", source=path)
    write_atomic(path, [png_bytes(figure)])


def png_bytes(figure: Figure, dpi: int = DPI) -> bytes:
    """Encode a figure as PNG, without date or software name."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()


def text_style(size: float, colour: str, **more: Any) -> dict[str, Any]:
    """Return keywords for a text of `size` points, independent of the user's matplotlib settings."""
    return {"fontsize": size, "color": colour, "fontfamily": FONT, **more}
