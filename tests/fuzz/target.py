"""One target: how decisions become files, and which public readers take them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.checking import check
from tests.fuzz.choices import Choices


@dataclass(frozen=True)
class Target:
    """`make` writes files into an empty folder, `read` reads them and returns what must be finite."""

    name: str
    make: Callable[[Choices, Path], None]
    read: Callable[[Path], object]

    def run(self, data: bytes, keep: Callable[[Path, AssertionError], None] | None = None) -> bool:
        """Run one case in a fresh folder; return whether it was accepted.

        A case that ends unclean raises, after `keep` had its files.
        """
        with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
            folder = Path(name)
            self.make(Choices(data), folder)
            try:
                return check(self.read, folder)
            except AssertionError as error:
                if keep is not None:
                    keep(folder, error)
                raise


def keep_files(folder: Path, place: Path, error: AssertionError) -> None:
    """Copy the files of a case, with the text of its error, as a folder that `test_examples` can read."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    (place / "error.json").write_text(json.dumps(str(error)))
