"""Outputs of a session: named and checked before it runs, written after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qsmengine.modalities.registry import ignored
from qsmengine.pipeline.outputs.maps import Described, product_files, product_images, write_products
from qsmengine.pipeline.outputs.naming import Naming
from qsmengine.pipeline.outputs.obsolete import obsolete_files, obsolete_note
from qsmengine.pipeline.outputs.products import Product
from qsmengine.pipeline.outputs.staging import Writing, check_not_among_inputs, check_output
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record


@record
class Outputs:
    """Files that a session writes.

    Parameters
    ----------
    folder, naming, products
        Folder of the derivatives, names and maps.
    files
        Every file, below `folder`.
    obsolete
        Maps of an earlier run that this one replaces but does not make.
    """

    folder: Path
    naming: Naming
    products: tuple[Product, ...]
    files: list[Path]
    obsolete: tuple[Path, ...]

    @property
    def notes(self) -> list[str]:
        """Note on obsolete maps, if there are any."""
        return obsolete_note(self.obsolete)

    def write(self, result: RunResult, described: Described, writing: Writing) -> list[Path]:
        """Write the maps of a run with sidecars and provenance; return their files."""
        chosen = replace(writing, obsolete=self.obsolete)
        return write_products(result, self.folder, self.naming, self.products, described, chosen, ignored)


def plan_outputs(
    plan: Plan,
    kind: str,
    products: tuple[Product, ...],
    folder: Path,
    naming: Naming,
    sources: Sequence[Path],
    *,
    force: bool,
    dry_run: bool,
    tables: Sequence[Path] = (),
) -> Outputs:
    """Return the outputs of a plan.

    Parameters
    ----------
    plan, kind, products
        Plan, name of its step, and the modality's maps.
    folder, naming
        Folder of the derivatives, and names.
    sources
        Input files.
    force, dry_run
        Replace earlier outputs; only plan.
    tables
        Further files, relative to `folder`.

    Raises
    ------
    UsageError
        If outputs exist (without force) or would overwrite inputs.
    """
    names = [*product_files(plan, naming, products, kind), *tables]
    check_not_among_inputs(folder, sources)
    check_output(folder, names, sources, force=force or dry_run)
    old = obsolete_files(folder, product_images(naming, products), names, sources, force=force)
    return Outputs(folder, naming, products, [folder / name for name in names], old)
