"""All-or-nothing output: files are written to a temporary folder and moved to the target at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from qsmengine.errors import UsageError
from qsmengine.io.atomic import sync_folders
from qsmengine.io.owned import abandoned, make_owned
from qsmengine.io.sidecars import read_json
from qsmengine.pipeline.outputs.publishing import NEW, files_below, publish, settle
from qsmengine.records import record

_DESCRIPTION = "dataset_description.json"
_SHARED = (_DESCRIPTION, ".bidsignore")
"""Files of the whole dataset, shared by several runs into one folder."""


@record
class Writing:
    """Options for writing the outputs of a run.

    Parameters
    ----------
    scratch
        Folder for unfinished files, on the file system of the outputs; None creates one next to the outputs.
    timings
        Whether provenance contains durations and the number of threads. Without them, the same inputs,
        configuration and device produce the same bytes.
    obsolete
        Files of an earlier run, relative to the output folder, that disappear when the new files appear.
    """

    scratch: Path | None = None
    timings: bool = True
    obsolete: tuple[Path, ...] = ()


def check_output(target: Path, names: Iterable[Path], sources: Iterable[Path], *, force: bool) -> None:
    """Raise UsageError if outputs would damage inputs, or replace files without `force`.

    Parameters
    ----------
    target
        Folder of the outputs.
    names
        Outputs relative to it.
    sources
        Input files, which are never replaced, not even with `force`.
    force
        Whether earlier outputs may be replaced.
    """
    _check_link(target)
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
    if not force:
        check_absent(path for path in outputs if path.name not in _SHARED)


def check_absent(paths: Iterable[Path]) -> None:
    """Raise UsageError if any of these files exists; the message names the first and counts the others."""
    existing = [path for path in paths if path.exists()]
    if len(existing) == 1:
        raise UsageError(f"{existing[0]} exists already; --force replaces it")
    if existing:
        raise UsageError(f"{existing[0]} and {len(existing) - 1} more exist already; --force replaces them")


def _check_link(target: Path) -> None:
    """Raise UsageError if the output folder is a broken link or a link to itself."""
    if target.is_symlink() and not target.exists():
        raise UsageError(f"output {target} is a broken link; remove it, or create the folder that it names")


def check_inside(target: Path, outputs: Iterable[Path]) -> None:
    """Raise UsageError if a link below the output folder `target` leads an output out of it."""
    root = target.resolve()
    for folder in {path.parent for path in outputs}:
        if not folder.resolve().is_relative_to(root):
            raise UsageError(
                f"{folder} leads out of the output folder {target} by a link; remove the link, or choose "
                "another output folder"
            )


def check_not_among_inputs(target: Path, sources: Iterable[Path]) -> None:
    """Raise UsageError if the output folder is the folder of an input."""
    _check_link(target)
    folder = target.resolve()
    if any(path.resolve().parent == folder for path in sources):
        raise UsageError(f"output folder {target} contains the inputs; choose another")


@contextmanager
def staged(target: Path, scratch: Path | None = None, obsolete: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a temporary folder whose files appear in `target`, all at once, when the block succeeds.

    A new target is created by a single rename; in an existing one the files are published as described in
    :mod:`~qsmengine.pipeline.outputs.publishing`. After an exception `target` is unchanged. Leftovers of killed
    processes are settled first.

    Parameters
    ----------
    target
        Folder of the outputs.
    scratch
        Parent of the temporary folder, on the same file system; by default `target`, or the folder above a new
        target.
    obsolete
        Files that disappear when the new ones appear, relative to `target`.
    """
    existed = target.is_dir()
    first_new = _first_missing(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    where = scratch or (target if existed else target.parent)
    where.mkdir(parents=True, exist_ok=True)
    for folder in {target, target.parent, where}:
        for left in abandoned(folder):
            with suppress(OSError):
                settle(left, target if folder == scratch else folder)
    place = make_owned(where, "outputs")
    try:
        (place / NEW).mkdir()
        yield place / NEW
        names = files_below(place / NEW)
        sync_folders({(place / NEW / name).parent for name in names})
        if existed or not _become(place / NEW, target):
            if place.parent == target.parent:  # another process has created the target meanwhile
                place = place.rename(target / place.name)
            check_inside(target, (target / name for name in (*names, *obsolete)))
            publish(place, target, obsolete)
    except BaseException:
        with suppress(OSError):
            settle(place, target)
        _remove_empty(first_new, target.parent)
        raise
    settle(place, target)
    sync_folders({(target / name).parent for name in names})


def clear_scratch(scratch: Path, target: Path) -> None:
    """Remove a scratch folder that no other process uses; files published from it stay complete.

    Raises
    ------
    OSError
        If published files still depend on it; it is then kept.
    """
    for place in scratch.glob(".*.tmp"):
        settle(place, target)
    shutil.rmtree(scratch, ignore_errors=True)


def _become(folder: Path, target: Path) -> bool:
    """Rename `folder` to `target`; return False if the target exists by now and is not empty."""
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        return False
    return True


def _first_missing(target: Path) -> Path | None:
    """Return the topmost folder above `target` that does not exist yet."""
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


def _raw_dataset_above(target: Path) -> Path | None:
    """Return the root of the raw BIDS dataset that `target` equals or lies in, unless in its `derivatives`."""
    for folder in (target, *target.parents):
        description = folder / _DESCRIPTION
        if not description.is_file():
            continue
        if read_json(description).get("DatasetType", "raw") != "raw":
            return None
        inside = target.relative_to(folder).parts
        return None if inside[:1] in {("derivatives",), ("sourcedata",)} else folder
    return None
