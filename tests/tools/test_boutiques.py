"""The Boutiques descriptor is that of the arguments, and its command lines are understood."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qsmengine.cli.bids.arguments import ARGUMENTS, parse
from tools.boutiques import PATH, text

SAMPLES = {"String": "text", "File": "file", "Number": 2}


@pytest.fixture
def tree():
    return json.loads(PATH.read_text())


def test_file_is_the_generated_one():
    assert PATH.read_text() == text(), "python -m tools boutiques"


def test_required_fields_and_keys(tree):
    assert {"name", "description", "command-line", "schema-version", "inputs", "tool-version"} <= set(tree)
    identifiers = [entry["id"] for entry in (*tree["inputs"], *tree["output-files"])]
    assert len(set(identifiers)) == len(identifiers)
    keys = re.findall(r"\[[A-Z_0-9]+\]", tree["command-line"])
    assert keys == [entry["value-key"] for entry in tree["inputs"]]
    for entry in tree["inputs"]:
        assert re.fullmatch(r"[0-9_a-zA-Z]+", entry["id"])
        assert entry["type"] in {"String", "File", "Flag", "Number"}


def test_command_line_of_all_inputs_is_parsed_back(tree):
    words = []
    for entry in tree["inputs"]:
        if entry["type"] == "Flag":
            words.append(entry["command-line-flag"])
            continue
        sample = entry.get("maximum", SAMPLES[entry["type"]])
        value = str(entry.get("value-choices", [sample])[0])
        words += [*([entry["command-line-flag"]] if "command-line-flag" in entry else []), value]
    found = vars(parse(words))
    inputs = {entry["id"] for entry in tree["inputs"]}
    assert inputs == {argument.name for argument in ARGUMENTS} - {"version"}
    assert all(found[name] not in (None, False, []) for name in inputs)


def test_official_tool_accepts_it():
    program = shutil.which("bosh")
    if program is None:
        pytest.skip("boutiques is not installed")
    done = subprocess.run([program, "validate", str(Path(PATH))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
