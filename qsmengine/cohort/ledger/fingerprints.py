"""Fingerprint of a step's inputs: file contents, configuration, engine version and kind of device."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from qsmengine import version
from qsmengine.backend.sources import sources_hash
from qsmengine.cohort.plan.model import Step
from qsmengine.errors import InputError
from qsmengine.io.inheritance import image_stem
from qsmengine.io.sidecars import read_sidecar
from qsmengine.pipeline.outputs.provenance import file_digest

TABLES = ("bval", "bvec")


class HashCache:
    """SHA-256 of files; a file is read once while its path, size, time and inode stay the same.

    It serves one run only: between runs, contents are compared rather than times.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int, int], str] = {}
        self._lock = threading.Lock()

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file's contents; raises OSError if it cannot be read."""
        facts = path.stat()
        mark = (str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino)
        with self._lock:
            known = self._known.get(mark)
        if known is None:
            known = file_digest(path)
            with self._lock:
                self._known[mark] = known
        return known

    def read_ahead(self, paths: Iterable[Path]) -> None:
        """Hash files that are needed soon, which also loads them into the page cache."""
        for path in paths:
            try:
                self.digest(path)
            except OSError:
                continue


def input_files(step: Step, bids: Path) -> list[Path]:
    """Return every file of the dataset that a step reads, once: images, sidecars, gradient tables.

    Raises
    ------
    InputError
        For a sidecar that cannot be read.
    """
    found: dict[Path, None] = {}
    for role, names in step.inputs.items():
        for name in names:
            path = bids / name
            found[path] = None
            if role in TABLES or not path.name.endswith((".nii", ".nii.gz")):
                continue
            found.update(dict.fromkeys(read_sidecar(path).files))
            beside = (path.with_name(f"{image_stem(path.name)}.{ending}") for ending in TABLES)
            found.update(dict.fromkeys(table for table in beside if table.is_file()))
    return list(found)


def input_hashes(step: Step, bids: Path, cache: HashCache) -> dict[str, str]:
    """Return the SHA-256 of each file that a step reads, by its name relative to the dataset.

    Raises
    ------
    InputError
        For a file that is missing or cannot be read.
    """
    return {_relative(path, bids): _digest(path, cache) for path in input_files(step, bids)}


def fingerprint(
    step: Step, inputs: Mapping[str, str], before: Mapping[str, Mapping[str, str]], kind: str
) -> str:
    """Return the SHA-256 of everything that determines the results of a step.

    Parameters
    ----------
    step
        Its kind, configuration, options, input roles and output names enter.
    inputs
        From :func:`input_hashes`.
    before
        Name of a step that it depends on -> SHA-256 of the outputs of that step.
    kind
        "cpu" or "cuda".
    """
    content = {
        "engine": version.__version__,
        "kernels": sources_hash(),
        "device": kind,
        "step": step.model_dump(mode="json", include={"kind", "inputs", "outputs", "settings", "options"}),
        "inputs": dict(inputs),
        "before": {name: dict(outputs) for name, outputs in before.items()},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def outputs_intact(out: Path, recorded: Mapping[str, str]) -> bool:
    """Return whether every recorded output exists with its recorded contents."""
    try:
        return all(file_digest(out / name) == digest for name, digest in recorded.items())
    except OSError:
        return False


def _digest(path: Path, cache: HashCache) -> str:
    try:
        return cache.digest(path)
    except FileNotFoundError as error:
        hint = ": a link to data that are not here; run 'datalad get' on it" if path.is_symlink() else ""
        raise InputError(f"no such file{hint}", source=path) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=path) from error


def _relative(path: Path, bids: Path) -> str:
    return path.relative_to(bids).as_posix() if path.is_relative_to(bids) else str(path)
