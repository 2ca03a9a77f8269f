"""Kills a publication before each operation and prints what was found; a process without threads, to fork."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from bench.cohort import renames
from qsmengine.pipeline.outputs.staging import staged

FILES = {
    "old": ("a.nii.gz", "sub-01/anat/b.nii.gz", "sub-01/anat/b.json", "gone.txt"),
    "new": ("a.nii.gz", "sub-01/anat/b.nii.gz", "sub-01/anat/b.json", "sub-02/c.json"),
}


def main(folder: Path, links: str) -> None:
    """Publish four files over four others; `links` is "copies" for a file system without hard links."""
    if links == "copies":

        def refuse(*_: object) -> None:
            raise PermissionError

        os.link = refuse  # type: ignore[assignment]

    def write(version: str) -> None:
        if version == "old":  # from the start: files of the new version only are removed
            (folder / "sub-02" / "c.json").unlink(missing_ok=True)
        with staged(folder, obsolete=[Path("gone.txt")] if version == "new" else ()) as place:
            for name in FILES[version]:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_text(f"{version} {name}")

    folder.mkdir()
    (folder / "notes.txt").write_text("of the user")
    print(json.dumps(asdict(renames.kill_publications(folder, write))))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
