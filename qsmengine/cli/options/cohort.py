"""Options of the cohort commands, and the plan that they describe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from qsmengine.cli.options import bounds
from qsmengine.cli.options.declared import Argument, Option
from qsmengine.cli.options.parsers import parse_numbers
from qsmengine.modalities.registry import step_names

if TYPE_CHECKING:
    from qsmengine.cohort.plan.build import OnSession
    from qsmengine.cohort.plan.model import CohortPlan
    from qsmengine.pipeline.configuration.model import Config

_CHOICE = "Choice"

Bids: TypeAlias = Annotated[Path, Argument(help="raw BIDS dataset", metavar="BIDS")]
Out: TypeAlias = Annotated[
    Path, Argument(help="folder of the derivatives, such as BIDS/derivatives/qsmengine", metavar="OUT")
]
Participants: TypeAlias = Annotated[
    list[str] | None,
    Option(
        "--participant-label", "--participant_label", metavar="LABEL,...",
        help="subjects, with or without sub-, separated by commas", rich_help_panel=_CHOICE,
    ),
]  # fmt: skip
Sessions: TypeAlias = Annotated[
    list[str] | None,
    Option(
        "--session-label", "--session_label", help="sessions, with or without ses-, separated by commas",
        rich_help_panel=_CHOICE, metavar="LABEL,...",
    ),
]  # fmt: skip
FilterFile: TypeAlias = Annotated[
    Path | None,
    Option(
        "--bids-filter-file", help='JSON filters as in pybids: {"megre": {"acquisition": "fine"}}',
        rich_help_panel=_CHOICE, metavar="F.json",
    ),
]  # fmt: skip
Derivatives: TypeAlias = Annotated[
    list[Path] | None,
    Option(
        "--derivatives", help="dataset with segmentations, in addition to BIDS/derivatives/*; may be repeated",
        rich_help_panel=_CHOICE, metavar="FOLDER",
    ),
]  # fmt: skip
Steps: TypeAlias = Annotated[
    str | None,
    Option(
        "--steps",
        help=f"steps required of every session: {', '.join(step_names())}, registration, regions; "
        "default: all that its data allow",
        rich_help_panel=_CHOICE, metavar="STEP,...",
    ),
]  # fmt: skip
Lut: TypeAlias = Annotated[
    str | None,
    Option(
        "--lut", help="lookup table for segmentations without one: a built-in name or a file",
        rich_help_panel=_CHOICE, metavar="NAME|F",
    ),
]  # fmt: skip
Atlases: TypeAlias = Annotated[
    str | None,
    Option(
        "--atlas", help="nuclei of atlases on the susceptibility map: cit168, thalamus-hcp",
        rich_help_panel=_CHOICE, metavar="NAME,...",
    ),
]  # fmt: skip
EchoTimes: TypeAlias = Annotated[
    str | None,
    Option(
        "--echo-times", help="echo times of every series [s], separated by commas; default: from the sidecars",
        rich_help_panel=_CHOICE, metavar="S,...", callback=bounds.echo_times,
    ),
]  # fmt: skip
FieldStrength: TypeAlias = Annotated[
    float | None,
    Option(
        "--field-strength", help="field strength of every series [T]; default: from the sidecars",
        rich_help_panel=_CHOICE, metavar="T", callback=bounds.bounded(*bounds.FIELD_STRENGTH),
    ),
]  # fmt: skip


def make_plan(
    bids: Path,
    out: Path,
    config: Config,
    *,
    participants: Iterable[str] | None = None,
    sessions: Iterable[str] | None = None,
    filter_file: Path | None = None,
    derivatives: Iterable[Path] | None = None,
    steps: str | None = None,
    lut: str | None = None,
    atlases: str | None = None,
    echo_times: str | None = None,
    field_strength: float | None = None,
    on_session: OnSession | None = None,
) -> CohortPlan:
    """Return the plan described by the options above; see :func:`~qsmengine.cohort.plan.build.plan_cohort`."""
    from qsmengine.cohort.plan.build import plan_cohort

    return plan_cohort(
        bids,
        out,
        config,
        participants=split_labels(participants),
        sessions=split_labels(sessions),
        filter_file=filter_file,
        derivatives=tuple(derivatives or ()),
        steps=None if steps is None else split_names(steps),
        lut=lut,
        atlases=() if atlases is None else split_names(atlases),
        echo_times=parse_numbers([echo_times] if echo_times else None, "--echo-times"),
        field_strength=field_strength,
        on_session=on_session,
    )


def split_names(text: str) -> list[str]:
    """Split names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def split_labels(texts: Iterable[str] | None) -> list[str] | None:
    """Split labels separated by commas or blanks; return None if the option was not given."""
    if not texts:
        return None
    return " ".join(texts).replace(",", " ").split()
