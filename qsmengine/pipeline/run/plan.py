"""Plan of a run: its steps in order, with their input and output arrays and memory needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace

from qsmengine.backend.device import Device
from qsmengine.backend.memory import available_memory
from qsmengine.data import Array
from qsmengine.errors import OutOfMemoryError, UsageError
from qsmengine.grid import Grid
from qsmengine.pipeline.configuration.model import Config, stage_of
from qsmengine.records import record
from qsmengine.stages.checks import SERIES, TABLES
from qsmengine.stages.method import Method
from qsmengine.stages.noise import field_weight
from qsmengine.stages.params import Params
from qsmengine.stages.registry import get_method, get_stage

MASK_BYTES = 1
VALUE_BYTES = 4
COMPONENTS = {
    "tensor": 6,
    "v1": 3,
    "v2": 3,
    "v3": 3,
    "colour_fa": 3,
    "gradient_deviation": 9,
    "kurtosis_tensor": 15,
}
"""Number of values per voxel of multi-component arrays without echoes."""
FALLBACKS = {"field_mask": "brain_mask"}
"""Substitutes for arrays that no step produced."""


@record
class Derived:
    """Array computed from others just before the step that needs it: `make(*sources)`."""

    make: Callable[..., Array]
    sources: tuple[str, ...]


DERIVED = {"weight": Derived(field_weight, ("noise", "mask"))}
"""Argument of methods -> its derivation, recomputed for every step because the masks differ."""


@record
class Use:
    """Use of a stage in the sequence of a modality.

    Parameters
    ----------
    section
        Section of the configuration.
    inputs, outputs
        Arguments and results of its methods that have a different name in the run.
    method
        Method of a stage without a section; "" if the configuration selects it.
    reruns
        Sections of earlier steps that a method may repeat on other data: the last two that ran.
    """

    section: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    reruns: tuple[str, ...] = ()


def sections_of(uses: Iterable[Use]) -> tuple[str, ...]:
    """Return the sections of the configuration that a sequence of stages depends on."""
    return tuple(dict.fromkeys(use.section for use in uses if not use.method))


@record
class PlanStep:
    """Method with its parameters, and the names of its arguments among the arrays of the run.

    Parameters
    ----------
    section
        Section of the configuration.
    method, params
        Method to run, and its parameters.
    inputs, outputs
        Argument (or result) of the method -> name of the array in the run.
    derived
        Array computed before the step runs -> arrays of the run from which it is computed.
    memory
        Estimated device memory during the step [bytes]: stored arrays, results, working memory.
    chain
        Earlier steps that this one repeats.
    """

    section: str
    method: Method
    params: Params
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    memory: int = 0
    chain: tuple[PlanStep, ...] = ()

    @property
    def title(self) -> str:
        """Section and method for messages."""
        return f"{self.section.replace('_', ' ')}: {self.method.name}"


@record
class Plan:
    """Steps in order, and notes on steps that are skipped."""

    steps: tuple[PlanStep, ...]
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = field(default=())

    @property
    def memory(self) -> int:
        """Largest memory need of any step [bytes]."""
        return max((step.memory for step in self.steps), default=0)


def plan_uses(
    config: Config,
    uses: Sequence[Use],
    present: set[str],
    grid: Grid,
    n_volumes: int,
    notes: Sequence[str] = (),
) -> Plan:
    """Plan the steps of a sequence of stages, from the arrays `present`.

    A stage that is switched off, or that needs more volumes than there are, is skipped with a note.

    Raises
    ------
    UsageError
        If a method needs an array that is neither present nor produced by an earlier step.
    """
    present, left_out = set(present), list(notes)
    steps: list[PlanStep] = []
    for use in uses:
        stage = get_stage(stage_of(use.section))
        if max(n_volumes, 1) < stage.least_volumes:
            left_out.append(f"{use.section.replace('_', ' ')} left out: it needs two echoes or more")
            continue
        chosen = _method(config, use)
        if chosen is None:
            if stage.presence != "extra":
                left_out.append(f"{use.section.replace('_', ' ')} left out: switched off in the configuration")
            continue
        step = _step(use, *chosen, steps, present)
        present |= set(step.outputs.values())
        present |= {name for name, rule in DERIVED.items() if rule.sources[0] in present}
        held = sum(_bytes_per_voxel(name, n_volumes) for name in present)
        runs = [(s.method, s.params) for s in (step, *step.chain)]
        need = grid.size * held + max(m.working_bytes(grid, p, n_volumes) for m, p in runs)
        steps.append(replace(step, memory=need))
    return Plan(tuple(steps), tuple(left_out), tuple(sorted(present)))


def _method(config: Config, use: Use) -> tuple[Method, Params] | None:
    if not use.method:
        return config.method(use.section)
    method = get_method(stage_of(use.section), use.method)
    return method, method.params()


def _step(use: Use, method: Method, params: Params, earlier: Sequence[PlanStep], present: set[str]) -> PlanStep:
    """Build a step without its memory: name its arguments and results in the run."""
    chain = tuple(step for step in earlier if step.section in use.reruns)[-2:] if method.repeats else ()
    where = {"mask": chain[0].inputs["mask"]} if chain else {}
    arguments = {name.rstrip("?"): name for name in method.inputs}
    inputs = {a: where.get(a, use.inputs.get(a, a)) for a in arguments}
    inputs = {a: name if name in present else FALLBACKS.get(name, name) for a, name in inputs.items()}
    inputs = {a: name for a, name in inputs.items() if name in present or not arguments[a].endswith("?")}
    _check_present(use.section, method, inputs, present)
    outputs = {o: use.outputs.get(o, o) for o in method.outputs}
    derived = {
        name: tuple(inputs.get(source, source) for source in rule.sources)
        for name, rule in DERIVED.items()
        if name in inputs and rule.sources[0] in present
    }
    return PlanStep(use.section, method, params, inputs, outputs, derived, chain=chain)


def check_memory(plan: Plan, device: Device, have: int | None = None) -> None:
    """Raise OutOfMemoryError for the first step that needs more than `have`, or than is free on `device`."""
    have = available_memory(device) if have is None else have
    if have is None:
        return
    for step in plan.steps:
        if step.memory > have:
            raise OutOfMemoryError(
                f"step {step.title} needs about {format_bytes(step.memory)} on {device}, "
                f"{format_bytes(have)} are available"
            )


def format_bytes(count: float) -> str:
    """Format a number of bytes for messages, in powers of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _check_present(section: str, method: Method, inputs: Mapping[str, str], present: set[str]) -> None:
    """Raise UsageError for a missing input."""
    missing = [name for name in inputs.values() if name not in present]
    if missing:
        title = f"{section.replace('_', ' ')}: {method.name}"
        raise UsageError(
            f"{title} needs {', '.join(missing)}, which is neither given nor produced by an earlier step"
        )


def _bytes_per_voxel(name: str, n_volumes: int) -> int:
    if name in TABLES:
        return 0
    if name.endswith("mask"):
        return MASK_BYTES
    if name == "outliers":
        return MASK_BYTES * n_volumes
    if name in SERIES:
        return VALUE_BYTES * n_volumes
    return VALUE_BYTES * COMPONENTS.get(name, 1)
