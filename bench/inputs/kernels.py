"""Random arguments for any kernel, made from its signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bench.inputs import anatomy, masks, perfusion, relaxometry, romeo
from qsmengine.backend.kernel import DTYPES, Arg, Kernel
from qsmengine.ops.mesh import unit_sphere

SIZES = {
    "many tiles": (9, 11, 149, 5, 3, 7),
    "odd": (5, 7, 33, 3, 5, 4),
    "even": (4, 6, 8, 2, 4, 6),
    "thin": (1, 3, 1, 2, 3, 1),
}
"""Sizes of a kernel's dimensions in order; the first has several tiles on every axis."""

Values = dict[str, Any]
Constraint = Callable[[Values, Mapping[str, int], np.random.Generator], None]


def _dipole(values: Values, sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    values["nz_real"] = 2 * (sizes["nh"] - 1)


def _tensor_fit(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Orthonormal basis padded with zero rows; one run of voxels as it comes, one backwards."""
    _tensor_basis(values, sizes, np.linalg.qr(rng.normal(size=(sizes["volumes"], 7)))[0])
    values["up"] = np.triu(rng.uniform(0.5, 1.0, (7, 7))).astype(np.float32)
    values["min_signal"], values["lowest"], values["b_max"] = 1e-3, 1e-4, 1000.0


def _tensor_basis(values: Values, sizes: Mapping[str, int], columns: np.ndarray) -> None:
    count = columns.shape[1]
    rows = np.zeros((sizes["blocks"] * 8, count))
    rows[: sizes["volumes"]] = columns
    pairs = np.stack([rows[:, i] * rows[:, k] for i in range(count) for k in range(i + 1)], axis=1)
    for name, table in (("basis", rows), ("products", pairs)):
        blocked = table.reshape(sizes["blocks"], 8, -1).transpose(0, 2, 1)
        values[name] = np.ascontiguousarray(blocked, np.float32)
    half = sizes["fitted"] // 2
    index = np.arange(sizes["fitted"], dtype=np.int32)
    index[half:] = index[half:][::-1]
    values["voxel_index"] = index


def _tensor_search(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Tensors with positive eigenvalues, noise, an outlier in some voxels; every option on."""
    g = rng.normal(size=(sizes["volumes"], 3))
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    g[:4] = 0.0
    x, y, z = g.T
    terms = [np.ones_like(x), -x * x, -2 * x * y, -2 * x * z, -y * y, -2 * y * z, -z * z]
    q, r = np.linalg.qr(np.stack(terms, axis=1))
    _tensor_basis(values, sizes, q)
    values["down"], values["up"] = r.astype(np.float32), np.linalg.inv(r).astype(np.float32)
    a, b, c, d, e, f = (rng.uniform(0.4, 0.9, (6, sizes["n"])).T * [1, 0.3, 0.3, 1, 0.3, 1]).T
    beta = np.stack([0 * a, a * a, a * b, a * c, b * b + d * d, b * c + d * e, c * c + e * e + f * f])
    clean = np.exp(q @ (r @ beta))
    values["signal"] = np.float32(clean + 0.02 * rng.normal(size=clean.shape))
    values["signal"][9, ::7] += 0.5
    values["sigma"] = np.full_like(values["sigma"], 0.02)
    values["min_signal"], values["b_max"] = 1e-3, 1000.0
    values["threshold"], values["iterations"] = 12.0, 40


def _kurtosis_fit(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Two compartments and noise, and constraints of which some voxels break a few."""
    g = rng.normal(size=(sizes["volumes"], 3))
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    b = np.where(np.arange(sizes["volumes"]) % 2, 2.0, 1.0)
    g[:3], b[:3] = 0.0, 0.0
    terms = [g[:, i] * g[:, j] * (1 + (i != j)) for i in range(3) for j in range(i, 3)]
    pairs = [terms[i] * terms[j] for i in range(6) for j in range(i, 6)]
    independent = [pairs[i] for i in range(21) if i not in {6, 7, 11, 12, 13, 18}]
    matrix = [np.ones_like(b), *(-b * t for t in terms), *(b * b * t / 6 for t in independent)]
    q, r = np.linalg.qr(np.stack(matrix, axis=1))
    _tensor_basis(values, sizes, q)
    values["up"] = np.linalg.inv(r).astype(np.float32)
    slow = rng.uniform(0.3, 1.2, (3, sizes["n"]))
    along = b[:, None] * (g**2 @ slow)
    clean = 0.5 * np.exp(-along) + 0.5 * np.exp(-0.3 * along)
    values["signal"] = np.float32(clean * (1 + 0.01 * rng.normal(size=clean.shape)))
    cone = rng.normal(size=values["cone"].shape)
    values["cone"] = (cone / np.linalg.norm(cone, axis=1, keepdims=True)).astype(np.float32)
    values["nodes"] = rng.uniform(0.1, 0.9, values["nodes"].shape).astype(np.float32)
    values["min_signal"], values["b_max"], values["reweightings"] = 1e-3, 1000.0, 1
    values["lowest"], values["highest"] = -1.0, 10.0


def _free_water_fit(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Tissue and water with noise at two b-values."""
    g = rng.normal(size=(sizes["volumes"], 3))
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    b = np.where(np.arange(sizes["volumes"]) % 2, 2.0, 0.6)
    g[:3], b[:3] = 0.0, 0.0
    terms = [-b * g[:, i] * g[:, j] * (1 + (i != j)) for i in range(3) for j in range(i, 3)]
    q, r = np.linalg.qr(np.stack([np.ones_like(b), *terms], axis=1))
    _tensor_basis(values, sizes, q)
    values["up"] = np.linalg.inv(r).astype(np.float32)
    water = np.zeros(sizes["blocks"] * 8)
    water[: sizes["volumes"]] = np.exp(-3.0 * b)
    values["water"] = water.reshape(-1, 8).astype(np.float32)
    slow = rng.uniform([[0.2], [0.7], [1.3]], [[0.4], [0.9], [1.5]], (3, sizes["n"]))
    tissue = 0.7 * np.exp(-b[:, None] * (g**2 @ slow))
    clean = tissue + water[: sizes["volumes"], None] * rng.uniform(0.1, 0.5, sizes["n"])
    values["signal"] = np.float32(clean + 0.0002 * rng.normal(size=clean.shape))
    values["b_max"], values["free_md"], values["iterations"] = 1000.0, 2.7e-3, 60


def _tensor_deviation(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    values["voxel_index"] = rng.permutation(sizes["n"]).astype(np.int32)
    values["deviation"] *= 0.1


def _log_linear(values: Values, _sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    """Noise below the signal: what is left of echoes in noise is the rounding of a difference."""
    values["scale"], values["noise_power"] = 1.0, 1e-3


def _nlm_pairs(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Search and patch radius are 1; no candidate lies outside the image."""
    reach = np.full(values["reach"].shape, -1.0, np.float32)
    inner = tuple(slice(2, 2 + sizes[d]) for d in ("nx", "ny", "nz"))
    reach[inner] = np.where(rng.uniform(size=reach[inner].shape) < 0.8, 9.0, -1.0)
    values["reach"] = reach


def _nlm_packed(values: Values, _sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    values["search_y"] = 2


def _coarsening(values: Values, _sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    values |= {"fx": 2, "fy": 1, "fz": 2}


def _bet_evolve(values: Values, sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    """An ellipsoid within an image of two intensities."""
    mesh = unit_sphere(2)
    extent = np.array([sizes[d] for d in ("nx", "ny", "nz")])
    values["ring"] = mesh.ring.copy()
    values["vertices"] = (extent * (0.5 + 0.37 * mesh.vertices)).astype(np.float32)
    far = np.arange(sizes["nx"]) * 2 >= sizes["nx"]
    values["image"][...] = np.where(far, 0.9, 0.3)[:, None, None]
    values |= {"low": 0.1, "threshold": 0.2, "middle": 0.6, "slope": 30.0, "centre": 0.2}
    values |= {"spacing": 0.5, "near": 4, "far": 8, "iterations": 3, "per_edge": 1 / 960}


def _bet_cross(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    values["triangles"] = rng.integers(0, sizes["nv"], (sizes["nt"], 3)).astype(np.int32)
    extent = np.array([sizes[d] for d in ("nx", "ny", "nz")], np.float32)
    values["vertices"] = (1.2 * values["vertices"] - 0.1) * extent


CONSTRAINTS: dict[str, Constraint] = {
    "bet_cross": _bet_cross,
    "bet_evolve": _bet_evolve,
    "dipole_kspace": _dipole,
    "tensor_fit": _tensor_fit,
    "tensor_search": _tensor_search,
    "tensor_deviation": _tensor_deviation,
    "kurtosis_fit": _kurtosis_fit,
    "free_water_fit": _free_water_fit,
    "log_linear_decay": _log_linear,
    "nlm_packed": _nlm_packed,
    "nlm_pairs": _nlm_pairs,
    "mg_prolong": _coarsening,
    "mg_restrict": _coarsening,
    **anatomy.CONSTRAINTS,
    **masks.CONSTRAINTS,
    **perfusion.CONSTRAINTS,
    **relaxometry.CONSTRAINTS,
    **romeo.CONSTRAINTS,
}
"""Kernels some of whose arguments depend on each other or have a narrower range than their type."""

DIMENSIONS: dict[str, dict[str, int]] = {
    "bet_evolve": {"nv": 162},
    "nlm": {  # search and patch radius 1, rows with slack; two tiles on every axis
        "components": 5, "px": 30, "py": 13, "pz": 181, "maps": 5, "nx": 26, "ny": 9, "nz": 165,
    },
    "nlm_packed": {  # search radius 1, along y 2, rows a multiple of 6, with slack; two tiles on every axis
        "packs": 2, "px": 38, "py": 22, "pz": 33, "pack": 4, "maps": 1, "nx": 34, "ny": 7, "nz": 29,
        "components": 5,
    },
    "nlm_pairs": {
        "components": 5, "px": 54, "py": 37, "pz": 208, "nx": 50, "ny": 33, "nz": 176,
    },
    "nlm_lmmse": {  # window of radius 1; two chunks of a row
        "components": 5, "px": 6, "py": 7, "pz": 84, "maps": 5, "nx": 4, "ny": 5, "nz": 70,
    },
    "nlm_statistics": {"components": 3, "numbers": 5},
    "nlm_blocks": {  # search and patch radius, stride and first centre 1
        "components": 2, "px": 10, "py": 9, "pz": 11, "maps": 2, "numbers": 4, "voxels": 27, "bx": 4, "by": 3,
        "bz": 5,
    },
    **romeo.DIMENSIONS,
    "nlm_block_means": {"components": 2, "voxels": 27, "bx": 6, "by": 5, "bz": 7, "nx": 7, "ny": 5, "nz": 9},
    "tensor_fit": {"volumes": 17, "n": 512, "fitted": 512, "blocks": 3},
    "tensor_search": {"volumes": 35, "n": 512, "fitted": 512, "blocks": 5, "sigmas": 512, "marked": 35},
    "tensor_deviation": {"n": 512, "fitted": 512},
    "free_water_fit": {"volumes": 35, "n": 512, "fitted": 512, "blocks": 5},
    "kurtosis_fit": {
        "volumes": 35, "n": 512, "fitted": 512, "blocks": 5, "constraints": 12, "quadrature": 16,
    },
    **anatomy.DIMENSIONS,
    **masks.DIMENSIONS,
    **perfusion.DIMENSIONS,
    **relaxometry.DIMENSIONS,
}  # fmt: skip
"""Kernels some of whose dimensions are not free."""


LEAST: dict[str, dict[str, int]] = {"nonlinear_decay": {"echo": 2}}
"""Sizes below which the data do not determine a result: a decay has two unknowns."""


def dimensions(kernel: Kernel, case: str) -> dict[str, int]:
    free = dict(zip(kernel.dims, SIZES[case], strict=False))
    least = {name: max(free[name], size) for name, size in LEAST.get(kernel.name, {}).items()}
    return free | least | DIMENSIONS.get(kernel.name, {})


def cases(kernel: Kernel) -> list[str]:
    """Those of SIZES that give a kernel dimensions it did not have before."""
    first: dict[tuple[int, ...], str] = {}
    for case in SIZES:
        first.setdefault(tuple(dimensions(kernel, case).values()), case)
    return list(first.values())


def random_values(kernel: Kernel, sizes: Mapping[str, int], rng: np.random.Generator) -> Values:
    """Arguments by name; outputs hold random numbers too, so what a kernel leaves unwritten shows."""
    values: Values = {arg.name: _random(arg, sizes, rng) for arg in kernel.arguments}
    constrain = CONSTRAINTS.get(kernel.name)
    if constrain is not None:
        constrain(values, sizes, rng)
    return values


def _random(arg: Arg, sizes: Mapping[str, int], rng: np.random.Generator) -> Any:
    dtype = DTYPES[arg.type]
    if not arg.is_array:
        return float(rng.uniform(0.1, 1.0)) if dtype.kind == "f" else 1
    shape = tuple(int(d) if d.isdigit() else sizes[d] for d in arg.dims)
    if dtype.kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    if dtype.kind == "f":
        return rng.uniform(0.05, 1.0, shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)


def outputs(kernel: Kernel, values: Values) -> Values:
    """Return the outputs of a kernel, without work space; of trees that threads build, the roots."""
    written = {
        a.name: values[a.name] for a in kernel.arguments if a.role in {"out", "inout"} and a.name != "scratch"
    }
    return {name: masks.roots(a) if name == "parent" else a for name, a in written.items()}
