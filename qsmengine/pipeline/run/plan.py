"""What a run will do: its steps in order, the arrays each takes and makes, the memory it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from qsmengine.backend.device import Device
from qsmengine.backend.memory import available_memory
from qsmengine.errors import OutOfMemoryError, UsageError
from qsmengine.grid import Grid
from qsmengine.pipeline.configuration.config import EXTRA_SECTIONS, REPLACED, Config
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.registry import get_method

MASK_BYTES = 1
VALUE_BYTES = 4
Wanted: TypeAlias = tuple[str, Mapping[str, str], Mapping[str, str]]
"""Section, and the arguments and results that have another name in the run."""
COMPONENTS = {
    "tensor": 6,
    "v1": 3,
    "v2": 3,
    "v3": 3,
    "colour_fa": 3,
    "gradient_deviation": 9,
    "kurtosis_tensor": 15,
}
"""Values per voxel of arrays that hold more than one and no echoes."""
PER_ECHO = frozenset({"magnitude", "phase", "unwrapped"})
NOT_IMAGES = frozenset({"echo_times", "b_values", "b_vectors"})
MULTI_ECHO = frozenset({"phase_offset", "relaxometry"})
"""Sections that need two echoes or more."""
CHAIN = (*REPLACED, "single_step")
"""Sections through which the uncertainty step sends noise."""


@dataclass(frozen=True)
class Step:
    """One method with its parameters, and how its arguments are named among the run's arrays.

    Parameters
    ----------
    section
        Section of the configuration.
    method, params
        What runs.
    inputs, outputs
        Argument (or result) of the method -> name of the array in the run.
    memory
        Estimated bytes on the device while it runs: arrays kept so far, results, working memory.
    chain
        Earlier steps that this one runs again.
    """

    section: str
    method: Method
    params: Params
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    memory: int = 0
    chain: tuple[Step, ...] = ()

    @property
    def title(self) -> str:
        """Section and method for people."""
        return f"{self.section.replace('_', ' ')}: {self.method.name}"


@dataclass(frozen=True)
class Plan:
    """Steps in order, and what was left out and why."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = field(default=())

    @property
    def memory(self) -> int:
        """Largest need of any step [bytes]."""
        return max((step.memory for step in self.steps), default=0)


_RENAMED: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "denoise": ({"mask": "brain_mask"}, {}),
    "mask": ({}, {"mask": "brain_mask"}),
    "phase_offset": ({"mask": "brain_mask"}, {}),
    "unwrap": ({"mask": "brain_mask"}, {}),
    "field": ({"mask": "brain_mask"}, {}),
    "reliability": ({"mask": "brain_mask"}, {"mask": "field_mask"}),
    "relaxometry": ({"mask": "brain_mask"}, {}),
    "two_pass": ({"mask": "brain_mask"}, {}),
    "background": ({"mask": "field_mask"}, {"mask": "local_mask"}),
    "inversion": ({"mask": "local_mask"}, {}),
    "single_step": ({"mask": "field_mask"}, {"mask": "local_mask"}),
    "reference": ({"mask": "local_mask"}, {}),
    "uncertainty": ({"mask": "field_mask"}, {}),
    "swi": ({"mask": "brain_mask"}, {}),
    "chi_separation": ({"mask": "local_mask"}, {}),
}
"""Sections of a QSM run in order, with the arguments and results that have another name in the run."""

_PASSES: tuple[Wanted, ...] = (
    ("background", {"mask": "reliable_mask"}, {"local_field": "reliable_field", "mask": "reliable_mask"}),
    ("inversion", {"local_field": "reliable_field", "mask": "reliable_mask"}, {"chi": "reliable_chi"}),
    ("background", {"mask": "filled_mask"}, {"mask": "local_mask"}),
    ("inversion", {"mask": "local_mask"}, {"chi": "filled_chi"}),
    ("combination", {"mask": "local_mask"}, {}),
)
"""What takes the place of background removal and inversion in a run of two passes."""

_DENOISED_SIGNAL = ({"components": "signal"}, {"components": "signal", "sigma": "noise_map"})
"""Arguments and results of denoising in a diffusion run."""

_FALLBACKS = {"field_mask": "brain_mask"}
"""Arrays that stand in for those that no step made."""


def _combination() -> tuple[Method, Params]:
    """The one method that joins two passes: it has no section."""
    method = get_method("combination", "two_pass")
    return method, method.params()


def plan_qsm(
    config: Config,
    grid: Grid,
    n_echoes: int,
    *,
    has_mask: bool = False,
    has_labels: bool = False,
    has_r2: bool = False,
) -> Plan:
    """Steps from a gradient-echo series to susceptibility and what is derived from it.

    A mask that is given replaces the mask step; offset removal and relaxometry need two echoes. With
    `two_pass`, background removal and inversion run in the reliable and in the filled mask.

    Raises
    ------
    UsageError
        For a method that needs what neither the inputs nor an earlier step gives.
    """
    present = {"magnitude", "phase", "echo_times", *(["brain_mask"] if has_mask else [])}
    present |= {"labels"} if has_labels else set()
    present |= {"r2"} if has_r2 else set()
    left_out = {"mask"} if has_mask else set()
    left_out |= {"two_pass"} if config.method("two_pass") is None else set()
    sections = [section for section in _RENAMED if section not in left_out]
    return plan_sections(config, sections, present, grid, n_echoes)


def plan_sections(
    config: Config, sections: Iterable[str], present: Iterable[str], grid: Grid, n_echoes: int
) -> Plan:
    """Steps of some sections, in the order given, from the arrays `present`."""
    notes = []
    wanted: list[Wanted] = []
    single = config.method("single_step")
    sections = tuple(sections)
    _check_single_step(config, sections, single is not None)
    chosen = _one_or_the_other(sections, single is not None)
    for section in chosen:
        if section in MULTI_ECHO and n_echoes < 2:
            notes.append(f"{section.replace('_', ' ')} left out: it needs two echoes or more")
        else:
            wanted.append((section, *_RENAMED[section]))
    if "two_pass" in chosen:
        place = [section for section, *_ in wanted].index("background")
        wanted[place : place + 2] = _PASSES
    return _plan(config, wanted, set(present), grid, n_echoes, notes)


def _check_single_step(config: Config, sections: Sequence[str], single_step: bool) -> None:
    """Raise UsageError for two passes, which need background removal and inversion, beside a single step."""
    if single_step and "two_pass" in sections and config.method("two_pass") is not None:
        raise UsageError("single_step and two_pass exclude each other: add --set single_step=none")


def _one_or_the_other(sections: Iterable[str], single_step: bool) -> list[str]:
    """Sections with the single step in the place of those it does both of, or without it."""
    names = [section for section in sections if section != "single_step"]
    if not single_step or not set(REPLACED) <= set(names):
        return names
    first, second = REPLACED
    return ["single_step" if name == second else name for name in names if name != first]


def plan_dti(config: Config, grid: Grid, n_volumes: int, *, has_deviation: bool = False) -> Plan:
    """From a diffusion series, denoised where asked for, to tensor maps; colour FA is made of two of them."""
    present = {"signal", "mask", "b_values", "b_vectors", *(["gradient_deviation"] if has_deviation else [])}
    wanted: list[Wanted] = [("diffusion", {}, {})]
    notes: list[str] = []
    chosen = config.method("denoise")
    if chosen is not None and "components" in chosen[0].inputs:
        wanted.insert(0, ("denoise", *_DENOISED_SIGNAL))
    elif chosen is not None:
        notes.append(f"denoise left out: {chosen[0].name} is for gradient echoes")
    plan = _plan(config, wanted, present, grid, n_volumes, notes)
    return replace(plan, kept=(*plan.kept, "colour_fa"))


def check_memory(plan: Plan, device: Device, have: int | None = None) -> None:
    """Raise OutOfMemoryError for the first step that needs more than `have`, or than `device` has left."""
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
    """Bytes for people, in powers of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _plan(
    config: Config,
    wanted: list[Wanted],
    present: set[str],
    grid: Grid,
    n_volumes: int,
    notes: list[str],
) -> Plan:
    steps: list[Step] = []
    for section, renamed_inputs, renamed_outputs in wanted:
        chosen = _combination() if section == "combination" else config.method(section)
        if chosen is None:
            if section not in EXTRA_SECTIONS:
                notes.append(f"{section.replace('_', ' ')} left out: switched off in the configuration")
            continue
        method, params = chosen
        chain = _last_chain(steps) if section == "uncertainty" else ()
        if chain:
            _check_chain(chain, params)
        where = {"mask": chain[0].inputs["mask"]} if chain else {}
        arguments = {name.rstrip("?"): name for name in method.inputs}
        inputs = {a: where.get(a, renamed_inputs.get(a, a)) for a in arguments}
        inputs = {a: name if name in present else _FALLBACKS.get(name, name) for a, name in inputs.items()}
        inputs = {a: name for a, name in inputs.items() if name in present or not arguments[a].endswith("?")}
        _check_present(section, method, inputs, present)
        outputs = {o: renamed_outputs.get(o, o) for o in method.outputs}
        present |= set(outputs.values())
        present |= {"weight"} if "noise" in present else set()
        held = sum(_bytes_per_voxel(name, n_volumes) for name in present)
        runs = [(method, params), *((step.method, step.params) for step in chain)]
        need = grid.size * held + max(m.working_bytes(grid, p, n_volumes) for m, p in runs)
        steps.append(Step(section, method, params, inputs, outputs, need, chain))
    return Plan(tuple(steps), tuple(notes), tuple(sorted(present)))


def _last_chain(steps: Sequence[Step]) -> tuple[Step, ...]:
    """What leads from the field to chi: of two passes, the one in the filled mask."""
    return tuple(step for step in steps if step.section in CHAIN)[-len(REPLACED) :]


def _check_chain(chain: Sequence[Step], params: Params) -> None:
    """Raise UsageError where noise of the total field cannot enter the chain, or a method has no step."""
    first = chain[0]
    named = [name for name in REPLACED if getattr(params, name, None) is not None]
    if first.section == "single_step" and named:
        raise UsageError(f"uncertainty.{named[0]}: the run has a single step; add --set single_step=none")
    if "total_field" not in first.method.inputs and first.section not in named:
        title = f"{first.section.replace('_', ' ')} method {first.method.name}"
        other = "--set single_step=none" if first.section == "single_step" else f"uncertainty.{first.section}"
        raise UsageError(f"uncertainty: {title} does not start from the total field; name another by {other}")


def _check_present(section: str, method: Method, inputs: Mapping[str, str], present: set[str]) -> None:
    """Raise UsageError for an input that is not there."""
    missing = [name for name in inputs.values() if name not in present]
    if missing:
        title = f"{section.replace('_', ' ')}: {method.name}"
        raise UsageError(
            f"{title} needs {', '.join(missing)}, which is neither given nor made by a step before"
        )


def _bytes_per_voxel(name: str, n_volumes: int) -> int:
    if name in NOT_IMAGES:
        return 0
    if name.endswith("mask"):
        return MASK_BYTES
    if name == "outliers":
        return MASK_BYTES * n_volumes
    if name in PER_ECHO or name == "signal":
        return VALUE_BYTES * n_volumes
    return VALUE_BYTES * COMPONENTS.get(name, 1)
