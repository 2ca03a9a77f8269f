"""The record with which a method registers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from qsmengine.backend.cuda_errors import memory_errors
from qsmengine.backend.device import Device, on_device
from qsmengine.backend.fft import fast_shape
from qsmengine.data import Array
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.ops.domain import kernel_margin
from qsmengine.records import record
from qsmengine.stages.checks import check_inputs, check_results
from qsmengine.stages.params import Params
from qsmengine.stages.placement import place_images


@record
class Method:
    """One registered method of a stage.

    Parameters
    ----------
    stage
        Stage it belongs to: ``phase-offset``, ``unwrap``, ``field``, ``mask``, ``background``,
        ``inversion``, ``relaxometry``, ``reference``, ``uncertainty``, ``swi``, ``chi-separation``,
        ``diffusion``, ``flip-angles``.
    name
        Name that users type.
    run
        ``run(*inputs, grid, params, *, device)`` with the inputs by their names; returns one array or a
        NamedTuple whose fields are `outputs`.
    params
        Parameter class with defaults.
    inputs
        Names of the arguments it takes; a name that ends in ``?`` is optional. In addition to arrays these are
        ``echo_times`` [s], ``b_values`` [s/mm^2] and ``b_vectors``.
    outputs
        Name -> unit of each result.
    summary
        One line for tables and ``--list``.
    doi
        DOI of the publication.
    bytes_per_voxel
        Bound on the peak memory in addition to inputs and outputs, per voxel of the method's working grid.
    bytes_per_volume
        Addition to `bytes_per_voxel` for every volume of a series (echoes, diffusion weightings).
    reach
        For a method that pads the image for convolutions: params -> reach [mm] of the kernel, which
        determines the size of the padded grid. None for methods that work on the image's grid.
    linear
        True if the result is linear in the first input.
    iterative
        True if `run` takes ``callback``, which is called after each iteration.
    repeats
        True if `run` takes ``chain``, earlier steps that it repeats on other data.
    within_mask
        True if a result depends on the image in the argument ``mask`` only, and is 0 outside it.
    """

    stage: str
    name: str
    run: Callable[..., Any]
    params: type[Params]
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    summary: str
    doi: str
    bytes_per_voxel: int
    bytes_per_volume: int = 0
    reach: Callable[[Any], float] | None = None
    linear: bool = False
    iterative: bool = False
    repeats: bool = False
    within_mask: bool = False

    @property
    def required_inputs(self) -> tuple[str, ...]:
        """Names of the required inputs."""
        return tuple(name for name in self.inputs if not name.endswith("?"))

    def working_bytes(self, grid: Grid, params: Params, n_volumes: int) -> int:
        """Return a bound on the peak memory in addition to inputs and outputs [bytes] for images on `grid`."""
        voxels = grid.size
        params = params.counted_in(grid.length_scale)
        if self.reach is not None:
            margin = kernel_margin(grid.shape, grid.voxel_size, self.reach(params))
            nx, ny, nz = (n + m for n, m in zip(grid.shape, margin, strict=True))
            voxels = math.prod(fast_shape((nx, ny, nz)))
        return voxels * self.bytes_per_voxel + grid.size * self.bytes_per_volume * n_volumes

    @on_device
    def __call__(
        self, inputs: Mapping[str, Any], grid: Grid, params: Params, *, device: Device, **options: Any
    ) -> dict[str, Array]:
        """Run on named inputs and return named outputs.

        Each image may lie in host memory or on a GPU. On a grid with a length scale the parameters are
        converted to that scale (:meth:`Params.counted_in`).

        Raises
        ------
        UsageError
            For a missing or unknown input, and a length that is out of bounds for an object of this size.
        InputError
            For inputs that do not match the grid or each other (see :func:`check_inputs`).
        NumericalError
            For results that are not finite.
        OutOfMemoryError
            When memory runs out on `device` or the host.
        """
        known = {name.rstrip("?") for name in self.inputs}
        missing = [name for name in self.required_inputs if inputs.get(name) is None]
        unknown = sorted(set(inputs) - known)
        if missing or unknown:
            raise UsageError(
                f"{self.stage} method {self.name} needs {', '.join(self.inputs)}; "
                f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
            )
        params = params.counted_in(grid.length_scale)
        with memory_errors(f"{self.stage} method {self.name}", device):
            placed = place_images(inputs, device)
            check_inputs(placed, grid)
            result = self.run(**placed, grid=grid, params=params, device=device, **options)
        if len(self.outputs) == 1:
            results = {next(iter(self.outputs)): result}
        else:
            results = {name: getattr(result, name) for name in self.outputs}
        check_results(results, f"{self.stage} method {self.name}")
        return results
