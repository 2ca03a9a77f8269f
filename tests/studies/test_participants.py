"""Participants that several processes make: order, files, continuation, and a process that dies."""

import json
import os

import pytest
from pydantic import BaseModel

from qsmengine.errors import DeviceError
from qsmengine.studies.pontillo2019.participants import each_participant


class Settings(BaseModel):
    snr: float = 100


COLUMNS = {"participant_id": [f"sub-{n:03d}" for n in (1, 2, 5, 7)], "age": [30.0, 40.0, 50.0, 60.0]}


def drawn(*places):
    import pandas as pd  # the processes do without

    return pd.DataFrame(COLUMNS).iloc[list(places or range(4))]


def squared(row, number):
    return {"number": number, "value": row["age"] ** 2, "process": os.getpid()}


def deadly(row, number):
    if number == 5:
        os._exit(1)
    return squared(row, number)


def kept(folder):
    return {path.stem: json.loads(path.read_text())["value"] for path in (folder / "subjects").glob("*.json")}


def test_several_processes_make_what_is_missing_in_the_order_of_the_cohort(tmp_path):
    settings, seen = Settings(), []
    each_participant(drawn(1), settings, tmp_path, squared)
    found = each_participant(
        drawn(), settings, tmp_path, squared, workers=2, on_participant=lambda *a: seen.append(a)
    )
    assert [(one["number"], one["value"]) for one in found] == [(1, 900), (2, 1600), (5, 2500), (7, 3600)]
    assert seen == [(1, 4, False), (2, 4, True), (3, 4, False), (4, 4, False)]
    assert [one["process"] == os.getpid() for one in found] == [False, True, False, False]
    assert kept(tmp_path) == {"sub-001": 900, "sub-002": 1600, "sub-005": 2500, "sub-007": 3600}


def test_finished_participants_are_kept_when_a_process_dies(tmp_path):
    settings = Settings()
    each_participant(drawn(0), settings, tmp_path, squared)
    with pytest.raises(DeviceError, match="the same command continues"):
        each_participant(drawn(), settings, tmp_path, deadly, workers=2)
    before = kept(tmp_path)
    assert before["sub-001"] == 900
    assert "sub-005" not in before
    each_participant(drawn(), settings, tmp_path, squared)
    assert len(kept(tmp_path)) == 4


def test_participants_of_other_settings_and_with_lost_images_are_made_anew(tmp_path):
    made = []

    def make(row, number):
        made.append(number)
        return {"value": 0}

    each_participant(drawn(), Settings(), tmp_path, make)
    each_participant(drawn(), Settings(), tmp_path, make, intact=lambda key: key != "sub-005")
    assert made == [1, 2, 5, 7, 5]
    each_participant(drawn(), Settings(snr=50), tmp_path, make)
    assert made[5:] == [1, 2, 5, 7]
