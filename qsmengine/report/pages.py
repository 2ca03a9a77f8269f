"""Self-contained HTML pages: autoescaped templates, embedded figures and scripts, nothing from a network.

A Content-Security-Policy with the hashes of the page's own style and scripts forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmengine.errors import DeviceError
from qsmengine.io.atomic import write_text
from qsmengine.report.canvas import png_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCREEN_DPI = 110


def write_page(path: str | Path, template: str, **values: Any) -> Path:
    """Render a template of this package and write it to `path`, without waiting for the disk.

    Raises
    ------
    DeviceError
        When jinja2 is not installed.
    """
    write_text(path, _environment().get_template(template).render(**values) + "\n", durable=False)
    return Path(path)


@cache
def asset(name: str) -> str:
    """Return the text of a style or script among the templates."""
    return (resources.files("qsmengine.report") / "templates" / name).read_text(encoding="utf-8")


def policy(*scripts: str) -> str:
    """Return a Content-Security-Policy that admits embedded images, the pages' style and these scripts only."""
    allowed = f"script-src {' '.join(map(_hash, scripts))}; " if scripts else ""
    style = _hash("\n" + asset("style.css").removesuffix("\n"))
    return f"default-src 'none'; {allowed}style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


@cache
def _environment() -> Any:
    """Return the environment of all templates, which compiles each of them once."""
    try:
        from jinja2 import DictLoader, Environment, StrictUndefined
    except ImportError:
        raise DeviceError(
            "pages need jinja2, which is not installed: pip install 'qsmengine[report]'"
        ) from None
    folder = resources.files("qsmengine.report") / "templates"
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.is_file()}
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cells"] = cells
    environment.filters["measured"] = measured
    environment.globals["policy"] = policy
    return environment


def safe_json(text: str) -> str:
    """Return JSON that cannot end the script element that contains it."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def markup(text: str) -> Any:
    """Return text that is safe as it is, such as a drawing or a script of this package."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 (made by this package, its texts escaped)


def cells(texts: Iterable[str]) -> Any:
    """Return texts as escaped cells of a table row; a table is escaped a row at a time, which is faster."""
    from markupsafe import Markup, escape

    row = str(escape("\0".join(texts)))
    return Markup("<td>" + row.replace("\0", "</td><td>") + "</td>")  # noqa: S704 (escaped above)


def measured(value: float | str | None) -> str:
    """Return a quality measure as text; a dash if it is missing."""
    return value if isinstance(value, str) else shown("n/a" if value is None else str(value))


def embedded(figure: Figure) -> str:
    """Return a figure as a data URL."""
    encoded = base64.b64encode(png_bytes(figure, SCREEN_DPI)).decode("ascii")
    return f"data:image/png;base64,{encoded}"


def shown(text: str) -> str:
    """Return a number with three significant digits, a dash for n/a, and other text unchanged."""
    try:
        value = float(text)
    except ValueError:
        return "-" if text in {"", "n/a"} else text
    if not math.isfinite(value):
        return "-"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """Return a duration in readable units: "41 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def memory(n_bytes: int) -> str:
    """Return a number of bytes in MiB or GiB."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"
