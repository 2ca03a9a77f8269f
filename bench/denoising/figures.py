"""Images of a denoised head: measured, filtered, the difference, and the remaining error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array, GreSeries
from qsmengine.report.canvas import new_figure, text_style, write_png

TITLES = ("measured", "denoised", "measured - denoised", "denoised - truth")

Image = npt.NDArray[np.float64]


def write_figures(clean: GreSeries, noisy: GreSeries, filtered: GreSeries, mask: Array, folder: Path) -> None:
    """Write denoising-magnitude.png and denoising-phase.png: an axial slice of both echoes.

    Differences of the magnitude are in units of the noise, those of the phase in [rad].
    """
    where = np.argwhere(mask)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    cut = (slice(low[0], high[0]), slice(low[1], high[1]), int(low[2] + 0.55 * (high[2] - low[2])))
    inside = mask[cut]
    rows: dict[str, list[list[Image]]] = {"magnitude": [], "phase": []}
    for echo in range(noisy.n_echoes):
        sizes = [np.where(inside, s.magnitude[cut][..., echo], 0.0) for s in (noisy, filtered, clean)]
        error = noisy.magnitude[..., echo] - clean.magnitude[..., echo]
        unit = float(np.std(error[mask]))
        rows["magnitude"].append(
            [sizes[0], sizes[1], (sizes[0] - sizes[1]) / unit, (sizes[1] - sizes[2]) / unit]
        )
        angles = [np.where(inside, s.phase[cut][..., echo], 0.0) for s in (noisy, filtered, clean)]
        steps = [np.angle(np.exp(1j * (angles[a] - angles[b]))) for a, b in ((0, 1), (1, 2))]
        rows["phase"].append([angles[0], angles[1], *steps])
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in rows.items():
        limit = 3.0 if name == "magnitude" else 3.0 * float(np.std(images[0][2][inside]))
        _write(folder / f"denoising-{name}.png", images, limit, signed=name == "phase")


def _write(path: Path, rows: Sequence[Sequence[Image]], limit: float, *, signed: bool) -> None:
    figure = new_figure(9.0, 2.75 * len(rows), "white")
    axes = figure.subplots(len(rows), len(TITLES), squeeze=False)
    for echo, images in enumerate(rows):
        top = np.pi if signed else float(np.percentile(images[0], 99.5))
        for column, (title, image) in enumerate(zip(TITLES, images, strict=True)):
            high = top if column < 2 else limit
            low = -high if signed or column >= 2 else 0.0
            axis = axes[echo, column]
            axis.imshow(image.T, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
            axis.set_axis_off()
            if echo == 0:
                axis.set_title(title, **text_style(9, "black"))
        axes[echo, 0].text(
            0.03,
            0.97,
            f"echo {echo + 1}",
            va="top",
            transform=axes[echo, 0].transAxes,
            **text_style(9, "white"),
        )
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.03, top=0.92, wspace=0.03, hspace=0.05)
    write_png(figure, path)
