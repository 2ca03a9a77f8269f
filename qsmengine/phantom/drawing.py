"""Description of how a virtual head draws the images of one modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.data import Map
from qsmengine.grid import FloatArray, Grid
from qsmengine.phantom.anatomy import Anatomy
from qsmengine.phantom.faults import FaultKind
from qsmengine.phantom.resample import FloatImage

if TYPE_CHECKING:
    from qsmengine.phantom.gre import Coil


@dataclass(frozen=True)
class Scene:
    """Head and acquisition from which a modality simulates its images.

    Parameters
    ----------
    anatomy
        Labels and tissue; its grid is not tilted.
    fields
        `local_field`, `background_field`, `total_field` (x, y, z) [ppm].
    coil
        Receive profile.
    grid
        Geometry with field strength and B0 direction.
    snr
        In white matter (`anatomy.reference`); None: no noise.
    rng
        Source of the noise.
    echo_times
        Of the gradient echoes [s].
    scheme
        b-values [s/mm^2] and b-vectors of the diffusion series; None: the default.
    transmit_tilt
        Change of the transmit field from the centre of the field of view to its faces along x, y and z [1].
    """

    anatomy: Anatomy
    fields: Mapping[str, FloatImage]
    coil: Coil
    grid: Grid
    snr: float | None
    rng: np.random.Generator
    echo_times: tuple[float, ...]
    scheme: tuple[FloatArray, FloatArray] | None = None
    transmit_tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)


class TruthFile(NamedTuple):
    """File of a true map: BIDS folder, suffix, entities and description."""

    folder: str
    suffix: str
    entities: Mapping[str, str]
    description: str


@dataclass(frozen=True)
class Drawing:
    """Drawing of the images of one modality in virtual heads.

    Parameters
    ----------
    name, step
        Names of the modality and of its step.
    stream
        Number of its random stream, from 2; the noise of a modality does not depend on the others.
    simulate
        Scene -> series, and true maps by name.
    add_noise
        Series without noise, SNR, voxels of white matter (x, y, z), random source -> series with noise.
    write
        Series, folder of the session, entities of its name, settings of the head: write the raw files.
    images
        Pattern of the raw files below the folder of a session.
    truth
        Name of a true map -> its file.
    faults
        Faults that a session can have.
    """

    name: str
    step: str
    stream: int
    simulate: Callable[[Scene], tuple[Any, Mapping[str, Map]]]
    add_noise: Callable[[Any, float, npt.NDArray[np.bool_], np.random.Generator], Any]
    write: Callable[[Any, Path, Mapping[str, str], Mapping[str, object]], None]
    images: str
    truth: Mapping[str, TruthFile] = field(default_factory=dict)
    faults: tuple[FaultKind, ...] = ()


class Drawn(NamedTuple):
    """Series of a virtual head, and the drawing that made it."""

    drawing: Drawing
    series: Any
