"""Time of acquisition of a session in a folder of results, read in its raw dataset."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from qsmengine.io.inheritance import Folders
from qsmengine.pipeline.outputs.scanner import acquisition_time
from qsmengine.report.raw import raw_dataset, raw_images
from qsmengine.report.records import ReconstructedSeries


def session_time(out: Path, series: Iterable[ReconstructedSeries]) -> datetime | None:
    """Return the time of the first image of a session; None if its raw dataset is not there or has no times."""
    raw = raw_dataset(out)
    images = () if raw is None else (raw / name for one in series for name in raw_images(one)[:1])
    times = (acquisition_time(image, Folders()) for image in images)
    return next((time for time in times if time is not None), None)
