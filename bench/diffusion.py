"""`python -m bench diffusion`: tensor fits against the fitters that are installed.

MRtrix3's dwi2tensor and DIPY run on the same series in the same rounds with the same number of threads.
dwi2tensor is timed as a process; what it computes is that time less the time of the same command with a
mask of one voxel, which reads and writes the same files. Its WLS takes the measured signal as weight
(`-iter 0`): one weighted fit, where this engine's WLS is an OLS and a weighted fit and adds all maps. IWLS is
set against `dwi2tensor` as it comes and `tensor2metric`, which makes the maps of its tensor. Our whole process
is `qsmengine dti` as users run it: it checks the gradient table and writes every map, compressed, with its
sidecar.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np

from bench.process import Process
from bench.timing import Timing, copy_bandwidth, devices, measure, parser, ratio, report, write_json
from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.stages.diffusion.design import design_matrix
from qsmengine.stages.registry import get_method

TWO_SHELLS = {"dki": 2000, "dki_constrained": 0, "free_water": 20000}
"""Methods for two shells; DIPY fits one voxel in this many (its constrained kurtosis needs another package)."""
METHODS = ("ols", "wls", "wls_fsl", "iwls", "nlls", "restore", "constrained")
MRTRIX = {"ols": ["-ols", "-iter", "0"], "wls": ["-iter", "0"], "iwls": []}
DIPY = {"ols": 20, "wls": 20, "nlls": 200, "restore": 400}
"""DIPY fits one voxel in this many; its time is multiplied."""
TENSOR = "tensor-{}-{{run}}.nii"
"""File of a fit's tensor in a run."""
NOISE = 0.03
"""Standard deviation of the noise over the signal."""
MAPS_BYTES = 26 * 4
"""Written per voxel."""


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "diffusion")
    arguments.add_argument("--shape", type=int, nargs=3, default=(112, 112, 60), metavar=("NX", "NY", "NZ"))
    arguments.add_argument("--directions", type=int, default=64, help="at b = 1000, besides 5 x b = 0")
    options = arguments.parse_args(argv)
    shape = (options.shape[0], options.shape[1], options.shape[2])
    case = Case(shape, options.directions)
    two = Case(shape, options.directions // 2, (1000.0, 2000.0))
    results = []
    for device in devices(options):
        rows = [
            case.compute(device, options.rounds),
            two.compute(device, max(3, options.rounds // 3), TWO_SHELLS),
        ]
        if device.kind == "cpu":
            rows += case.against_peers(device, max(3, options.rounds // 3))
            rows += [
                two.against_dipy(name, device, 3) for name, share in TWO_SHELLS.items() if share and _has_dipy()
            ]
        results.append(report("diffusion", device, rows, shape=shape, volumes=len(case.b_values)))
    write_json(options.json, results)
    return 0


class Case:
    """A noisy series of random tensors in Fortran order, as a NIfTI file gives it."""

    def __init__(
        self, shape: tuple[int, int, int], directions: int, shells: tuple[float, ...] = (1000.0,)
    ) -> None:
        rng = np.random.default_rng(3)
        vectors = rng.normal(size=(directions * len(shells), 3))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.b_values = np.concatenate([np.zeros(5), np.repeat(shells, directions)])
        self.b_vectors = np.concatenate([np.zeros((5, 3)), vectors])
        self.grid = Grid.from_voxel_size(shape, (2.0, 2.0, 2.0))
        factor = rng.normal(size=(3, 3, self.grid.size)) * 0.02
        tensors = np.einsum("ikn,jkn->ijn", factor, factor) + 2e-4 * np.eye(3)[:, :, None]
        six = np.stack([tensors[i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))])
        beta = np.concatenate([np.log(rng.uniform(300, 1500, (1, self.grid.size))), six])
        planes = np.empty((len(self.b_values), self.grid.size), np.float32)
        for row, plane in zip(design_matrix(self.b_values, self.b_vectors), planes, strict=True):
            plane[:] = np.exp(row @ beta) * np.exp(NOISE * rng.normal(size=self.grid.size))
        self.signal = planes.reshape(-1, *shape[::-1]).transpose(3, 2, 1, 0)
        self.mask = np.ones(shape, bool)

    def fit(self, name: str, signal: Array, device: Device) -> Any:
        """One of this engine's fits."""
        method = get_method("diffusion", name)
        table = self.b_values, self.b_vectors
        return method.run(signal, self.mask, *table, self.grid, method.params(), device=device)

    def compute(self, device: Device, rounds: int, methods: Iterable[str] = METHODS) -> dict[str, Any]:
        """Fits with the series on the device, against the time to move their bytes."""
        signal = self.signal if device.kind == "cpu" else device.xp.asarray(self.signal)
        runs = {name: lambda name=name: self.fit(name, signal, device) for name in methods}
        timings = measure(runs, device, rounds=rounds)
        moved = self.signal.nbytes + MAPS_BYTES * self.grid.size
        floor = moved / copy_bandwidth(device)
        for name, timing in timings.items():
            print(
                f"{device!s:6} {name:11}  {1e3 * timing.median:8.1f} ms  spread {timing.spread:5.1%}  "
                f"{1e9 * timing.median / self.grid.size:6.1f} ns/voxel  {timing.median / floor:5.1f} x floor"
            )
        times = {name: t.as_dict() for name, t in timings.items()}
        return {"what": "compute", **times, "bytes": moved, "floor_s": floor}

    def against_peers(self, device: Device, rounds: int) -> list[dict[str, Any]]:
        """The installed peers, in the same rounds."""
        rows = [self._dipy(name, device, rounds) for name in DIPY if _has_dipy()]
        if shutil.which("dwi2tensor") is None:
            print("dwi2tensor (MRtrix3) is not installed")
            return rows
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder))
            return rows + [self._mrtrix(name, device, rounds, Path(folder)) for name in MRTRIX]

    def _dipy(self, name: str, device: Device, rounds: int) -> dict[str, Any]:
        from dipy.core.gradients import gradient_table
        from dipy.reconst.dti import TensorModel

        table = gradient_table(self.b_values, bvecs=self.b_vectors)
        options = {"sigma": NOISE * float(self.signal.mean())} if name == "restore" else {}
        model = cast("Any", TensorModel)(table, fit_method=name.upper(), **options)
        share = DIPY[name]
        voxels = np.ascontiguousarray(self.signal.reshape(-1, len(self.b_values), order="F")[::share])
        runs = {"ours": lambda: self.fit(name, self.signal, device), "dipy": lambda: model.fit(voxels).fa}
        timings = measure(runs, device, rounds=rounds, warm_up=1)
        factor = share * ratio(timings["dipy"], timings["ours"])
        print(f"{device!s:6} {name}  DIPY / ours, compute: {factor:.1f}")
        return {
            "what": f"{name} against DIPY",
            **_dicts(timings),
            "share": share,
            "dipy_over_ours": factor,
        }

    def against_dipy(self, name: str, device: Device, rounds: int) -> dict[str, Any]:
        """Kurtosis or free water with its maps, against DIPY's fit and the same maps."""
        from dipy.core.gradients import gradient_table
        from dipy.reconst.dki import DiffusionKurtosisModel
        from dipy.reconst.fwdti import FreeWaterTensorModel

        table, share = gradient_table(self.b_values, bvecs=self.b_vectors), TWO_SHELLS[name]
        voxels = np.ascontiguousarray(self.signal.reshape(-1, len(self.b_values), order="F")[::share])

        def kurtosis() -> None:
            fit = DiffusionKurtosisModel(table, fit_method="WLS").fit(voxels)
            _ = fit.fa, fit.mk(), fit.ak(), fit.rk(), fit.kfa

        def water() -> None:
            fit = cast("Any", FreeWaterTensorModel)(table, fit_method="NLS").fit(voxels)
            _ = fit.fa, fit.f

        theirs = kurtosis if name == "dki" else water
        runs = {"ours": lambda: self.fit(name, self.signal, device), "dipy": theirs}
        timings = measure(runs, device, rounds=rounds, warm_up=1)
        factor = self.grid.size / len(voxels) * ratio(timings["dipy"], timings["ours"])
        print(f"{device!s:6} {name}  DIPY / ours, compute: {factor:.0f}")
        return {"what": f"{name} against DIPY", **_dicts(timings), "share": share, "dipy_over_ours": factor}

    def _mrtrix(self, name: str, device: Device, rounds: int, folder: Path) -> dict[str, Any]:
        one, few = ["-mask", str(folder / "one.nii")], f"{name}-one-{{run}}.nii"
        command = mrtrix_tensor(name, folder, device)
        runs: dict[str, Callable[[], object]] = {
            "ours": lambda: self.fit(name, self.signal, device),
            "ours_process": Process(our_command(name, folder, device), folder),
            "mrtrix_process": Process(command, folder),
            "mrtrix_maps_process": Process(mrtrix_metrics(name, folder), folder),
            "mrtrix_one_voxel": Process([*mrtrix_tensor(name, folder, device, few), *one], folder),
            "mrtrix_maps_one_voxel": Process([*mrtrix_metrics(name, folder, few), *one], folder),
        }
        timings = measure(runs, device, rounds=rounds, warm_up=1)
        timings["mrtrix"] = _combined(timings["mrtrix_process"], timings["mrtrix_one_voxel"], -1)
        maps = _combined(timings["mrtrix_maps_process"], timings["mrtrix_maps_one_voxel"], -1)
        whole = _combined(timings["mrtrix_process"], timings["mrtrix_maps_process"], 1)
        compute = ratio(timings["mrtrix"], timings["ours"])
        process = ratio(timings["mrtrix_process"], timings["ours_process"])
        with_maps = ratio(_combined(timings["mrtrix"], maps, 1), timings["ours"])
        whole_with_maps = ratio(whole, timings["ours_process"])
        for key, timing in timings.items():
            print(f"{device!s:6} {name}  {key:22} {timing.median:7.3f} s  spread {timing.spread:5.1%}")
        print(f"{device!s:6} {name}  MRtrix3 / ours, compute: {compute:.1f}, whole process: {process:.1f}")
        print(
            f"{device!s:6} {name}  MRtrix3 with tensor2metric / ours with all maps, compute: {with_maps:.1f}, "
            f"whole processes: {whole_with_maps:.1f}"
        )
        found = {"mrtrix_over_ours": compute, "mrtrix_over_ours_process": process}
        found |= {"mrtrix_and_maps_over_ours": with_maps, "mrtrix_and_maps_over_ours_process": whole_with_maps}
        return {"what": f"{name} against MRtrix3", **_dicts(timings), **found, "command": command}

    def write(self, folder: Path) -> None:
        """Write series, gradient table and a mask of one voxel."""
        write_image(folder / "dwi.nii", self.signal, self.grid)
        one = np.zeros(self.grid.shape, np.uint8)
        one[tuple(n // 2 for n in self.grid.shape)] = 1
        write_image(folder / "one.nii", one, self.grid)
        np.savetxt(folder / "dwi.bval", self.b_values[None], fmt="%g")
        np.savetxt(folder / "dwi.bvec", self.b_vectors.T)


def our_command(fit: str, folder: Path, device: Device) -> list[str]:
    """Command that fits `folder`/dwi.nii and writes every map, into a new folder in every run of a Process."""
    command = [sys.executable, "-m", "qsmengine", "dti", "--dwi", str(folder / "dwi.nii")]
    command += ["--out", str(folder / f"ours-{fit}-{{run}}" / "dti"), "--fit", fit, "--device", "cpu"]
    return [*command, "--threads", str(device.threads), "--quiet"]


def _combined(first: Timing, second: Timing, sign: int) -> Timing:
    """First plus or minus second, round by round."""
    return Timing(tuple(a + sign * b for a, b in zip(first.seconds, second.seconds, strict=True)))


def mrtrix_tensor(fit: str, folder: Path, device: Device, tensor: str = "") -> list[str]:
    """Command that fits the tensor of `folder`/dwi.nii, into a new file in every run of a Process."""
    command = ["dwi2tensor", "-quiet", "-nthreads", str(device.threads), *MRTRIX[fit], "-fslgrad"]
    files = ("dwi.bvec", "dwi.bval", "dwi.nii", tensor or TENSOR.format(fit))
    return [*command, *(str(folder / file) for file in files)]


def mrtrix_metrics(fit: str, folder: Path, tensor: str = "") -> list[str]:
    """Command that makes FA, MD, AD, RD, eigenvalues and eigenvectors of the tensor of the same run."""
    tensor = tensor or TENSOR.format(fit)
    outputs = [("-fa", "fa"), ("-adc", "md"), ("-ad", "ad"), ("-rd", "rd"), ("-value", "l"), ("-vector", "v")]
    files = [part for option, name in outputs for part in (option, str(folder / f"{name}-{tensor}"))]
    return ["tensor2metric", "-quiet", "-num", "1,2,3", "-modulate", "none", *files, str(folder / tensor)]


def _dicts(timings: dict[str, Timing]) -> dict[str, dict[str, float]]:
    return {name: timing.as_dict() for name, timing in timings.items()}


def _has_dipy() -> bool:
    try:
        import dipy  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
