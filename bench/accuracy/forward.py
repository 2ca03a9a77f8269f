"""A head whose field and signal the package qsm-forward made (https://github.com/astewartau/qsm-forward).

`pip install qsm-forward` (it brings nilearn); voxels must be isotropic, because the package's dipole takes the
edge of the first axis for the second. It shims with a polynomial of second order that is not harmonic; what
the shim removes belongs to the background. Tissue, mask and coil are this engine's.
"""

from __future__ import annotations

import numpy as np

from bench.accuracy.people import Person
from bench.accuracy.scenarios import Scenario
from qsmengine.data import Array, GreSeries, Map
from qsmengine.phantom import VirtualHead
from qsmengine.phantom.anatomy import head_anatomy
from qsmengine.phantom.drawing import Drawn
from qsmengine.phantom.gre import DRAWING
from qsmengine.phantom.head import tilted_grid
from qsmengine.phantom.shim import TERMS, Shim
from qsmengine.phantom.tissue import tissue_table


def forward_head(scenario: Scenario, person: Person) -> VirtualHead:
    """Virtual head whose fields, phase offset, shim and signal are qsm-forward's."""
    import qsm_forward.qsm_forward as package

    anatomy = head_anatomy(
        subject=person.labels, features=scenario.kind.features, voxel_size=(scenario.voxel_size,) * 3,
        seed=person.seed, texture=scenario.kind.texture, field_strength=scenario.field_strength,
        deformation=person.deformation,
    )  # fmt: skip
    grid = tilted_grid(anatomy.grid, scenario.b0_direction)
    geometry = {"voxel_size": list(grid.voxel_size), "B0_dir": list(grid.b0_direction)}
    air = tissue_table()["air"].chi
    total = package.generate_field(anatomy.tissue.chi - air, anatomy.mask, **geometry)
    _, total, _ = package.generate_shimmed_field(total, anatomy.mask, order=2)
    local = package.generate_field(anatomy.brain_chi, None, **geometry)
    tissue = anatomy.tissue
    offset = package.generate_phase_offset(tissue.m0, anatomy.mask, grid.shape)
    rng = np.random.default_rng([person.seed, 7])
    echoes, sigma = [], 0.0
    for echo, time in enumerate(scenario.echo_times):
        signal = package.generate_signal(
            total, B0=scenario.field_strength, TR=0.05, TE=time, flip_angle=15, phase_offset=offset,
            R1=1.0, R2star=tissue.r2star, M0=tissue.m0,
        )  # fmt: skip
        if scenario.snr is not None:
            sigma = float(np.abs(signal)[anatomy.reference].mean()) / scenario.snr if echo == 0 else sigma
            signal = signal + sigma * (rng.standard_normal(grid.shape) + 1j * rng.standard_normal(grid.shape))
        echoes.append(signal)
    stacked = np.stack(echoes, axis=3)
    truth = {"chi": anatomy.chi, "local_field": local, "total_field": total, "background_field": total - local}
    series = GreSeries(_single(np.abs(stacked)), _single(np.angle(stacked)), scenario.echo_times, grid)
    return VirtualHead(
        grid, anatomy.labels, anatomy.label_names, anatomy.mask,
        {name: Map(_single(array), "ppm", grid) for name, array in truth.items()},
        Shim((0.0,) * len(TERMS), (0.0, 0.0, 0.0)),
        (Drawn(DRAWING, series),),
    )  # fmt: skip


def _single(array: Array) -> Array:
    return np.ascontiguousarray(array, dtype=np.float32)
