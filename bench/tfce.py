"""`python -m bench tfce`: permutation inference with TFCE against nilearn in the same run.

Null data of `--shape` voxels and `--subjects` subjects, a group and two nuisance columns, two-sided. nilearn's
`permuted_ols(tfce=True)` steps the integral in about a hundred heights; ours is exact. Its time grows with
the permutations: `--peer-permutations` runs fewer of them and scales, 0 leaves it out. `--type-one N` counts
how often N data sets without any effect (a small box, 99 permutations) have a voxel with p <= 0.05.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import numpy as np

from bench.timing import devices, parser, report, write_json
from qsmengine.backend.device import Device, cpu
from qsmengine.stages.inference.permutation import PermutationParams, permutation_test


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "tfce")
    arguments.add_argument("--shape", type=int, nargs=3, default=(60, 72, 60), metavar=("NX", "NY", "NZ"))
    arguments.add_argument("--subjects", type=int, default=40)
    arguments.add_argument("--permutations", type=int, default=500)
    arguments.add_argument("--peer-permutations", type=int, default=500)
    arguments.add_argument("--type-one", type=int, default=0, metavar="N")
    options = arguments.parse_args(argv)
    results = []
    for device in devices(options):
        rows = [_speed(tuple(options.shape), options, device)]
        if options.type_one:
            rows.append(_type_one(options.type_one))
        results.append(report("tfce", device, rows))
    write_json(options.json, results)
    return 0


def _speed(shape: tuple[int, ...], options: Any, device: Device) -> dict[str, Any]:
    row = permutations_of(shape, options.subjects, options.permutations, device)
    ours = row["ours_s"]
    print(f"{device!s:6} {shape}, {options.permutations} permutations: {ours:.1f} s", flush=True)
    maps, mask, group, nuisance = _null_data(shape, options.subjects)
    peer = _nilearn(maps, mask, group, nuisance, options.peer_permutations, device)
    if peer is not None:
        scaled = peer * options.permutations / options.peer_permutations
        row |= {"nilearn_s": peer, "nilearn_permutations": options.peer_permutations, "ratio": scaled / ours}
        print(
            f"       nilearn, {options.peer_permutations} permutations, {device.threads} processes: "
            f"{peer:.1f} s; {scaled / ours:.1f} x ours",
            flush=True,
        )
    return row


def permutations_of(shape: tuple[int, ...], subjects: int, permutations: int, device: Device) -> dict[str, Any]:
    """Seconds of permutation inference on null data."""
    maps, mask, group, nuisance = _null_data(shape, subjects)
    params = PermutationParams(permutations=permutations)
    start = time.perf_counter()
    permutation_test(maps, mask, group, nuisance, params, device=device)
    return {"shape": shape, "permutations": permutations, "ours_s": time.perf_counter() - start}


def _null_data(shape: tuple[int, ...], subjects: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Maps, mask, group and two nuisance columns."""
    rng = np.random.default_rng(0)
    mask = np.ones(shape, bool)
    maps = rng.standard_normal((subjects, mask.sum()), dtype=np.float32)
    return maps, mask, np.arange(subjects) % 2 * 1.0, rng.standard_normal((subjects, 2))


def _nilearn(
    maps: np.ndarray, mask: np.ndarray, group: np.ndarray, nuisance: np.ndarray, count: int, device: Device
) -> float | None:
    if not count or device.kind != "cpu":
        return None
    try:
        import nibabel as nib
        from nilearn.maskers import NiftiMasker
        from nilearn.mass_univariate import permuted_ols
    except ImportError:
        print("       nilearn is not installed")
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masker = NiftiMasker(nib.Nifti1Image(mask.astype(np.uint8), np.eye(4)), dtype=np.float32).fit()
        start = time.perf_counter()
        permuted_ols(
            group[:, None],
            maps.astype(np.float64),
            confounding_vars=nuisance,
            n_perm=count,
            two_sided_test=True,
            n_jobs=device.threads,
            random_state=0,
            masker=masker,
            tfce=True,
            output_type="dict",
        )
        return time.perf_counter() - start


def _type_one(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    mask = np.ones((8, 8, 8), bool)
    found = 0
    for seed in range(count):
        age = rng.uniform(20, 70, 20)
        maps = rng.standard_normal((20, mask.sum())).astype(np.float32) + 0.02 * age[:, None].astype(np.float32)
        params = PermutationParams(permutations=99, seed=seed)
        group = (np.arange(20) % 2).astype(float)
        result = permutation_test(maps, mask, group, age[:, None], params, device=cpu(1))
        found += bool(result.p_tfce.min() <= 0.05)
    error = np.sqrt(0.05 * 0.95 / count)
    print(f"       p <= 0.05 in {100 * found / count:.1f} % of {count} null data sets (+- {100 * error:.1f})")
    return {"type_one": found / count, "data_sets": count, "standard_error": error}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
