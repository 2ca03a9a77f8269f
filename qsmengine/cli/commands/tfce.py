"""``qsmengine tfce``: voxelwise permutation inference with threshold-free cluster enhancement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Argument, Option


def tfce(
    *,
    table: Annotated[Path, Option("--table", help="TSV: participant_id, map (file), design columns")],
    mask: Annotated[Path, Option("--mask", help="voxels to test, on the grid of the maps")],
    tested: Annotated[str, Option("--tested", help="column to test: numbers or groups")],
    out: Annotated[Path, Argument(help="folder for the maps")],
    reference: Annotated[str | None, Option("--reference", help="reference group of the comparison")] = None,
    level: Annotated[
        str | None, Option("--level", help="group to compare with the reference, if there are several")
    ] = None,
    covariates: Annotated[
        list[str] | None, Option("--covariate", help="nuisance column; may be repeated")
    ] = None,
    permutations: Annotated[
        int,
        Option(
            "--permutations",
            help="number of permutations",
            metavar="N",
            callback=bounds.bounded(1, 1_000_000),
        ),
    ] = 5000,
    seed: Annotated[
        int,
        Option(
            "--seed",
            help="random seed of the permutations",
            metavar="N",
            callback=bounds.bounded(*bounds.SEED),
        ),
    ] = 0,
    one_sided: Annotated[bool, Option("--one-sided", help="test positive effects only")] = False,
    connectivity: Annotated[
        int,
        Option(
            "--connectivity",
            help="number of neighbours of a voxel: 6, 18 or 26",
            callback=bounds.bounded(6, 26),
        ),
    ] = 6,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Test a design column in every voxel of a mask: Freedman-Lane permutation, TFCE, family-wise error."""
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.errors import UsageError
    from qsmengine.pipeline.outputs.staging import check_output, staged
    from qsmengine.stages.inference.permutation import PermutationParams
    from qsmengine.stats.voxelwise import OUTPUTS, Contrast, run_voxelwise

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    if connectivity not in {6, 18, 26}:
        raise UsageError(f"--connectivity {connectivity}: must be 6, 18 or 26")
    names = [*(f"{name}.nii.gz" for name in OUTPUTS), "null.tsv", "excluded.tsv", "voxelwise.json"]
    check_output(out, map(Path, names), [table, mask], force=force)
    params = PermutationParams.model_validate(
        {
            "permutations": permutations,
            "seed": seed,
            "two_sided": not one_sided,
            "connectivity": connectivity,
        }
    )
    notes: list[str] = []
    contrast = Contrast(tested, reference, level, tuple(covariates or ()))
    with staged(out) as folder:
        result = run_voxelwise(
            table,
            mask,
            folder,
            contrast,
            params,
            device=choose_device(device, threads, reporter),
            progress=lambda share: reporter.detail(f"{100 * share:.0f} % of the permutations"),
            notes=notes,
        )
    reporter.notes(notes)
    reporter.say(
        f"smallest p {result.p_tfce.min():.4g}, {int((result.p_tfce <= 0.05).sum())} voxels at p <= 0.05"
    )
    reporter.say(str(out / names[2]), file=str(out / names[2]))
