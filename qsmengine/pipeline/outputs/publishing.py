"""Publication of finished files in an existing folder by a single rename.

Several files cannot be replaced by renaming all at once, and the folder itself cannot be exchanged: it may be a
mount point, hold files of the user, or be a shell's working directory. Links solve this. The working folder
holds

- ``new/``: the finished files,
- ``old/``: second names (hard links) of the files they replace,
- ``current``: a symbolic link to ``old``.

Every published name first becomes a symbolic link through ``current``, which still shows the old file. Renaming
another link over ``current`` then switches all names to the new files at once. Names of obsolete files, which
have no new version, become dangling links at that moment. Finally the files themselves replace the links, the
dangling links are deleted, and the working folder is removed.

After a process has been killed, either all names show old files or all show new ones. Until the switch, the
names of files without an old version are dangling links. The next run into the folder replaces the links by
files (:func:`settle`). Only hard links, symbolic links and renames are used, so this also works on network file
systems. Where hard links are not possible, copies replace them. Without symbolic links (exFAT, some SMB mounts)
the files are renamed one by one, so a kill can leave a mixture of old and new files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

NEW, OLD, CURRENT = "new", "old", "current"
_TWIN = "twin"


def publish(place: Path, target: Path, obsolete: Iterable[Path] = ()) -> None:
    """Make the files below ``place/new`` appear below `target` and the obsolete ones disappear, all at once.

    Parameters
    ----------
    place
        Working folder on the file system of `target`.
    target
        Existing folder.
    obsolete
        Files to remove, relative to `target`; those that do not exist are ignored.

    Raises
    ------
    OSError
        From the file system. Until :func:`settle` is called, names may be links into `place`.
    """
    names = files_below(place / NEW)
    removed = [name for name in obsolete if name not in names and os.path.lexists(target / name)]
    folders = {name.parent for name in (*names, *removed)}
    for folder in folders:
        (target / folder).mkdir(parents=True, exist_ok=True)
    if len(names) + len(removed) > 1 and _link_to_old(place):
        for folder in folders:
            (place / OLD / folder).mkdir(parents=True, exist_ok=True)
        for name in (*names, *removed):
            if os.path.lexists(target / name):
                _twin(target / name, place / OLD / name)
        current = place.resolve() / CURRENT
        links = {folder: os.path.relpath(current / folder, (target / folder).resolve()) for folder in folders}
        for name in (*names, *removed):
            _replace_by_link(place, target / name, Path(links[name.parent]) / name.name)
        switch = place / _TWIN
        switch.symlink_to(NEW)
        switch.replace(place / CURRENT)
    else:
        for name in names:
            (place / NEW / name).replace(target / name)
        for name in removed:
            (target / name).unlink()


def settle(place: Path, target: Path) -> None:
    """Replace links into `place` by the files they show, and remove `place`.

    This completes a publication that had switched and reverts one that had not. It can be repeated after a
    kill.

    Raises
    ------
    OSError
        From the file system; `place` is then kept, since names may still be links into it.
    """
    current = place / CURRENT
    if current.is_symlink():
        twin = place / _TWIN
        twin.unlink(missing_ok=True)
        for name in dict.fromkeys([*files_below(place / OLD), *files_below(place / NEW)]):
            final = target / name
            if not final.is_symlink() or place.name not in final.readlink().parts:
                continue
            if os.path.lexists(current / name):
                _twin(current / name, twin)
                twin.replace(final)
            else:
                final.unlink()
                _remove_empty_folders(final.parent, target)
    shutil.rmtree(place)


def files_below(folder: Path) -> Sequence[Path]:
    """Return all files and links below a folder, relative to it, sorted."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder) for path in paths)


def _link_to_old(place: Path) -> bool:
    """Make ``current``; return False on a file system without symbolic links."""
    (place / OLD).mkdir()
    try:
        (place / CURRENT).symlink_to(OLD)
    except OSError:
        return False
    return True


def _twin(path: Path, twin: Path) -> None:
    """Give a file a second name: a hard link, else a copy. A link is repeated as a link to the same file."""
    if path.is_symlink():
        twin.symlink_to(path.resolve())
        return
    try:
        os.link(path, twin)
    except OSError:
        shutil.copy2(path, twin)


def _replace_by_link(place: Path, final: Path, text: Path) -> None:
    link = place / _TWIN
    link.symlink_to(text)
    link.replace(final)


def _remove_empty_folders(folder: Path, last: Path) -> None:
    with suppress(OSError):
        while folder != last:
            folder.rmdir()
            folder = folder.parent
