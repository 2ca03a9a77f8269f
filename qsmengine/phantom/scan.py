"""Images of an anatomy by truncation of k-space, with the truth in the same voxels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qsmengine.data import GreSeries, Map, check_echo_times
from qsmengine.grid import Grid, Vector3
from qsmengine.phantom.anatomy import WHITE_MATTER, Anatomy
from qsmengine.phantom.artefacts import NO_ARTEFACTS, REFERENCE_TIME, Artefacts, with_line_phase
from qsmengine.phantom.features import label_image
from qsmengine.phantom.field_split import SOURCE_ORDER
from qsmengine.phantom.gre import ComplexImage, SmoothCoil, clean_echoes, noisy_series
from qsmengine.phantom.head import head_fields, tilted_grid
from qsmengine.phantom.labels import LabelArray
from qsmengine.phantom.resample import FloatImage, Resampler
from qsmengine.phantom.sampling import SLAB, KSpaceSampler
from qsmengine.phantom.shim import Shim


def scanned_fields(
    anatomy: Anatomy, b0_direction: Vector3, *, subdivision: int = 1, splines: bool = False
) -> tuple[dict[str, FloatImage], Shim]:
    """Return local, background and total field (x, y, z) [ppm] on the grid of `anatomy`, and the shim.

    Arguments as for :class:`~qsmengine.phantom.Scanner`.
    """
    return head_fields(
        anatomy.tissue.chi, anatomy.brain_chi, anatomy.mask, tilted_grid(anatomy.grid, b0_direction),
        subdivision=subdivision, splines=splines,
    )  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """One anatomy in voxels of one size.

    Parameters
    ----------
    anatomy
        Tissue on the simulation's grid.
    fields
        "local_field", "background_field", "total_field": (x, y, z) [ppm] on that grid.
    voxel_size
        Of the image [mm], at least that of the simulation's grid.
    b0_direction, flat, splines
        As for :class:`~qsmengine.phantom.Scanner`.
    """

    anatomy: Anatomy
    fields: Mapping[str, FloatImage]
    voxel_size: Vector3
    b0_direction: Vector3 = (0.0, 0.0, 1.0)
    flat: float = 0.5
    splines: bool = False

    @cached_property
    def sampler(self) -> KSpaceSampler:
        """From the simulation's grid to the image."""
        return KSpaceSampler(self.anatomy.grid, self.voxel_size, self.flat)

    @cached_property
    def grid(self) -> Grid:
        """Geometry of the image."""
        return tilted_grid(self.sampler.grid, self.b0_direction)

    @cached_property
    def share(self) -> FloatImage:
        """(x, y, z): the brain's share of each voxel."""
        return self.sampler.resampler.average(self.anatomy.mask.astype(np.float32))

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(x, y, z): voxels of which more than half is brain."""
        return self.share > 0.5

    @cached_property
    def labels(self) -> LabelArray:
        """(x, y, z) int16."""
        return label_image(self.anatomy.head, self.anatomy.shares, self.sampler.resampler)

    @property
    def reference(self) -> npt.NDArray[np.bool_]:
        """(x, y, z): white matter, in which the SNR is defined."""
        return self.mask & np.isin(self.labels, WHITE_MATTER)

    def chi(self) -> FloatImage:
        """Return chi (x, y, z) [ppm]: inside the mask that of the brain, sampled as the signal is."""
        brain = self.sampler.sample(self.anatomy.brain_chi, order=SOURCE_ORDER if self.splines else 1)
        whole = self.sampler.resampler.average(self.anatomy.tissue.chi)
        return np.where(self.mask, brain, whole).astype(np.float32)

    def truth(self) -> dict[str, Map]:
        """Return maps (x, y, z) as in :class:`~qsmengine.phantom.VirtualHead`; total = local + background."""
        resampler = self.sampler.resampler
        local = self.sampler.sample(self.fields["local_field"])
        background = _inside_mean(self.fields["background_field"], self.anatomy.mask, self.share, resampler)
        maps = {
            "chi": (self.chi(), "ppm"), "local_field": (local, "ppm"), "background_field": (background, "ppm"),
            "total_field": (local + background, "ppm"), "m0": (resampler.average(self.anatomy.tissue.m0), "1"),
            "r2star": (_signal_mean(self.anatomy, resampler), "1/s"),
        }  # fmt: skip
        return {
            name: Map(np.asarray(array, np.float32), unit, self.grid) for name, (array, unit) in maps.items()
        }

    def series(
        self,
        echo_times: Sequence[float],
        snr: float | None,
        seed: int | Sequence[int],
        artefacts: Artefacts = NO_ARTEFACTS,
    ) -> GreSeries:
        """Return gradient echoes with coil, noise and artefacts drawn with `seed`.

        Raises
        ------
        InputError
            For an impossible set of echo times.
        """
        times = check_echo_times(tuple(echo_times))
        streams = np.random.SeedSequence(seed).spawn(6)
        coil = SmoothCoil.draw(np.random.default_rng(streams[1]), artefacts.unevenness)
        rng = np.random.default_rng(streams[5])
        flow = artefacts.flow_phase(self.anatomy.head, rng)
        lines = artefacts.line_phase(self.grid.shape[1], rng)
        offset = artefacts.offset(self.anatomy.head, self.anatomy.grid.required_field_strength)

        def echoes() -> Iterator[ComplexImage]:
            for time in times:
                echo = self.sampler.sample_slabs(self._signal(coil, offset, flow, time)).astype(np.complex64)
                yield echo if lines is None else with_line_phase(echo, lines, time)

        noise = np.random.default_rng(streams[2])
        return noisy_series(echoes(), self.grid, times, snr, self.reference, noise)

    def _signal(
        self, coil: SmoothCoil, offset: FloatImage | None, flow: FloatImage | None, time: float
    ) -> Iterator[tuple[slice, ComplexImage]]:
        """Yield the signal of the simulation's grid at the echo time [s] in slabs along x."""
        total, tissue, grid = self.fields["total_field"], self.anatomy.tissue, self.anatomy.grid
        for x in range(0, len(total), SLAB):
            planes = slice(x, x + SLAB)
            profile = coil.on(grid, planes)
            if offset is not None:
                profile.phase[...] += offset[planes]
            if flow is not None:
                profile.phase[...] += flow[planes] * np.float32((time / REFERENCE_TIME) ** 2)
            echo = clean_echoes(
                total[planes], tissue.r2star[planes], tissue.m0[planes], profile,
                grid.required_field_strength, (time,),
            )  # fmt: skip
            yield planes, next(echo)


def _inside_mean(
    image: FloatImage, mask: npt.NDArray[np.bool_], share: FloatImage, resampler: Resampler
) -> FloatImage:
    """Return the mean of `image` over each target voxel's part in `mask`, or the whole voxel without one."""
    inside = resampler.average(np.where(mask, image, np.float32(0)))
    mean = resampler.average(image).copy()
    np.divide(inside, share, out=mean, where=share > 0)
    return mean


def _signal_mean(anatomy: Anatomy, resampler: Resampler) -> FloatImage:
    """Return R2* (x, y, z) [1/s], the mean with the weight m0."""
    m0 = resampler.average(anatomy.tissue.m0)
    weighted = resampler.average(anatomy.tissue.r2star * anatomy.tissue.m0)
    mean: FloatImage = np.divide(weighted, m0, out=np.zeros_like(m0), where=m0 > 0)
    return mean
