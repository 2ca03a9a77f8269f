"""The typed command of the toy modality."""

from pathlib import Path
from typing import Annotated

import typer

from qsmengine.backend.device import resolve_device
from qsmengine.modalities.modality import Task
from qsmengine.modalities.simple import IMAGE
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.toy.description import MODALITY


def pd(image: Path, *, out: Annotated[Path, typer.Option("--out")]) -> None:
    """Compute relative proton density."""
    task = Task({IMAGE: (image,)}, out, image.name)
    outcome = MODALITY.reconstruct(task, load_config(), resolve_device("cpu"), False, None)
    for path in outcome.files:
        typer.echo(path)
