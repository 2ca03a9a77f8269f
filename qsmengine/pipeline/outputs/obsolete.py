"""Maps of an earlier run that the run replacing it does not make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_json
from qsmengine.pipeline.outputs.maps import sidecar_of


def obsolete_files(
    target: Path, images: Iterable[Path], written: Collection[Path], sources: Iterable[Path], *, force: bool
) -> tuple[Path, ...]:
    """Return the images of an earlier run, with their sidecars, that the run replacing it does not write.

    An image belongs to an earlier run if its sidecar names the engine and a configuration. Other images may be
    the user's and are not returned, nor are inputs of the new run.

    Parameters
    ----------
    target
        Folder of the outputs.
    images
        All images that runs of this kind may write for the session, relative to `target`.
    written
        Files that the new run writes, relative to `target`.
    sources
        Inputs of the new run.
    force
        Whether the new run may replace earlier outputs; otherwise nothing is obsolete.

    Returns
    -------
    tuple of Path
        Files relative to `target`.
    """
    if not force:
        return ()
    inputs = {path.resolve() for path in sources}
    found = [
        image
        for image in images
        if image not in written and (target / image).resolve() not in inputs and _is_ours(target / image)
    ]
    return tuple(path for image in found for path in (image, sidecar_of(image)))


def obsolete_note(files: Sequence[Path]) -> list[str]:
    """Return a note that names the images among `files`; no note without files."""
    images = ", ".join(path.name for path in files if path.suffix != ".json")
    return [f"maps of an earlier run that this run does not make are removed: {images}"] if images else []


def _is_ours(image: Path) -> bool:
    """Return whether the image exists and its sidecar was written by a run of the engine."""
    sidecar = sidecar_of(image)
    if not image.is_file() or not sidecar.is_file():
        return False
    try:
        entries = read_json(sidecar)
    except InputError:
        return False
    software = entries.get("Software")
    return isinstance(software, dict) and "qsmengine" in software and "ConfigurationHash" in entries
