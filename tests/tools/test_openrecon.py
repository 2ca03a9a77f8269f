"""The label of the image for scanners is that of the server's parameters."""

import json

from qsmengine.pipeline.configuration.config import preset_names
from qsmengine.scanner.parameters import PARAMETERS, Choice
from tools.openrecon import PATH, text


def test_file_is_the_generated_one():
    assert PATH.read_text() == text(), "python -m tools openrecon"


def test_label_describes_the_server():
    tree = json.loads(PATH.read_text())
    reconstruction = tree["reconstruction"]
    assert reconstruction["transfer_protocol"] == {"protocol": "ISMRMRD", "version": "1.4.1"}
    assert (reconstruction["port"], reconstruction["can_use_gpu"]) == (9002, True)
    assert (reconstruction["emitter"], reconstruction["injector"]) == ("image", "image")
    assert reconstruction["min_required_memory"] >= reconstruction["min_required_gpu_memory"] >= 1024
    entries = {entry["id"]: entry for entry in tree["parameters"]}
    assert list(entries) == [parameter.name for parameter in PARAMETERS]
    assert [value["id"] for value in entries["preset"]["values"]] == list(preset_names())


def test_every_value_of_the_label_is_understood():
    for entry in json.loads(PATH.read_text())["parameters"]:
        values = [value["id"] for value in entry["values"]] if entry["type"] == "choice" else [True, False]
        assert entry["default"] in values
        for value in values:
            assert getattr(Choice().changed({entry["id"]: value}), entry["id"]) == value
