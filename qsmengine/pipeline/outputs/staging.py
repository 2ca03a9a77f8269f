"""All outputs of a run or none: written to a temporary folder beside the target, moved in at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qsmengine.errors import UsageError
from qsmengine.io.sidecars import read_json

_DESCRIPTION = "dataset_description.json"
_SHARED = (_DESCRIPTION, ".bidsignore")
"""Belong to the whole dataset: several runs into one folder share them."""


@dataclass(frozen=True)
class Writing:
    """How a run writes its outputs.

    Parameters
    ----------
    scratch
        Folder for what is not finished, on the file system of the outputs; None puts it beside them.
    timings
        Whether provenance holds durations and the number of threads. Without them the same inputs,
        configuration and device give the same bytes.
    """

    scratch: Path | None = None
    timings: bool = True


def check_output(target: Path, names: Iterable[Path], sources: Iterable[Path], *, force: bool) -> None:
    """Raise UsageError where outputs would harm inputs or replace files without `force`.

    Parameters
    ----------
    target
        Folder of the outputs.
    names
        Outputs relative to it.
    sources
        Input files: never replaced, whatever `force` says.
    force
        Whether earlier outputs may be replaced.
    """
    resolved = {path.resolve() for path in sources}
    outputs = [target / name for name in names]
    clash = next((path for path in outputs if path.resolve() in resolved), None)
    if clash is not None:
        raise UsageError(f"output {clash} is one of the inputs")
    if target.exists() and not target.is_dir():
        raise UsageError(f"output {target} is a file, not a folder")
    check_inside(target, outputs)
    raw = _raw_dataset_above(target.resolve())
    if raw is not None:
        raise UsageError(
            f"output folder {target} lies inside the raw dataset {raw}; use {raw / 'derivatives'}/NAME"
        )
    existing = [path for path in outputs if path.exists() and path.name not in _SHARED]
    if existing and not force:
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}{others} exists already; --force replaces it")


def check_inside(target: Path, outputs: Iterable[Path]) -> None:
    """Raise UsageError where a link below the output folder `target` leads an output out of it."""
    root = target.resolve()
    for folder in {path.parent for path in outputs}:
        if not folder.resolve().is_relative_to(root):
            raise UsageError(
                f"{folder} leads out of the output folder {target} by a link; remove the link, or choose "
                "another output folder"
            )


def check_not_among_inputs(target: Path, sources: Iterable[Path]) -> None:
    """Raise UsageError where the output folder is the folder of an input."""
    folder = target.resolve()
    if any(path.resolve().parent == folder for path in sources):
        raise UsageError(f"output folder {target} holds the inputs; choose another")


@contextmanager
def staged(target: Path, scratch: Path | None = None) -> Iterator[Path]:
    """Give a temporary folder whose files appear in `target` when the block ends without an exception.

    A folder that does not exist appears by one rename; into an existing one (which may be a mount point)
    the files are renamed one by one. The temporary folder lies in `scratch`, else in the existing target or
    beside the new one: always on the same file system. After an exception nothing is left.
    """
    existed = target.is_dir()
    first_new = _first_missing(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    where = scratch or (target if existed else target.parent)
    where.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=where))
    try:
        yield folder
        if existed:
            _move_into(folder, target)
        else:
            folder.chmod(0o777 & ~_umask())
            _become(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(first_new, target.parent)
        raise


def _move_into(folder: Path, target: Path) -> None:
    files = {path: target / path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()}
    check_inside(target, files.values())
    for path, final in files.items():
        final.parent.mkdir(parents=True, exist_ok=True)
        path.replace(final)
    shutil.rmtree(folder)


def _become(folder: Path, target: Path) -> None:
    """Rename `folder` to `target`; where another process has made the target meanwhile, move the files in."""
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        _move_into(folder, target)


def _first_missing(target: Path) -> Path | None:
    """Topmost folder above `target` that does not exist yet."""
    missing = [path for path in target.parents if not path.exists()]
    return missing[-1] if missing else None


def _remove_empty(first: Path | None, last: Path) -> None:
    if first is None:
        return
    for path in (last, *last.parents):
        if not path.exists() or any(path.iterdir()):
            return
        path.rmdir()
        if path == first:
            return


def _umask() -> int:
    """Permissions that new files lack, read off a new file's mode in the way the system offers."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022


def _raw_dataset_above(target: Path) -> Path | None:
    """Root of the raw BIDS dataset that `target` equals or lies in, unless below its `derivatives`."""
    for folder in (target, *target.parents):
        description = folder / _DESCRIPTION
        if not description.is_file():
            continue
        if read_json(description).get("DatasetType", "raw") != "raw":
            return None
        inside = target.relative_to(folder).parts
        return None if inside[:1] in {("derivatives",), ("sourcedata",)} else folder
    return None
