"""Small real images that ship with the package for the demo and the tests, each with its licence.

``demo_path`` returns a folder, whose README.md names the origin of the images.
"""

from __future__ import annotations

from pathlib import Path


def demo_path(name: str) -> Path:
    """Folder of the bundled data set `name`; raises FileNotFoundError naming the sets there are."""
    root = Path(__file__).parent
    names = sorted(entry.parent.name for entry in root.glob("*/README.md"))
    if name not in names:
        raise FileNotFoundError(f"no bundled data set {name!r}; there are {', '.join(names)}")
    return root / name
