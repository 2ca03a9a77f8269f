"""The command for XNAT is that of the arguments, and what XNAT makes of it is understood."""

import itertools
import json
import re
import shlex

import pytest

from qsmengine.cli.bids.arguments import LEVELS, parse
from qsmengine.cli.bids.xnat import LABEL, command, label
from tools.xnat import DOCKER, texts

TREE = command("1.2.3", "qsmengine:1.2.3-cpu")
SAMPLES = {"string": "text", "number": "1", "boolean": "true"}


def line(tree, values):
    """Command line that the Container Service makes: every key replaced by its flag and value."""
    text = tree["command-line"]
    for entry in tree["inputs"]:
        value = values.get(entry["name"], entry.get("default-value", ""))
        if entry["type"] == "boolean":
            value = entry["true-value" if value == "true" else "false-value"]
        elif value:
            value = entry.get("command-line-flag", "") + entry.get("command-line-separator", "") + value
        text = text.replace(entry["replacement-key"], value)
    return shlex.split(text)


@pytest.mark.parametrize("path", list(texts()), ids=lambda path: path.name)
def test_files_are_the_generated_ones(path):
    assert path.read_text() == texts()[path], "python -m tools xnat"


@pytest.mark.parametrize("name", ["cpu.Dockerfile", "cuda.Dockerfile"])
def test_label_of_an_image_is_the_command(name):
    (text,) = re.findall(rf'^LABEL {LABEL}="(.*)"$', (DOCKER / name).read_text(), re.MULTILINE)
    (tree,) = json.loads(text.replace('\\"', '"').replace("\\$", "$").replace("\\\\", "\\"))
    assert tree["image"].endswith("-" + name.split(".")[0])
    assert tree.get("runtime") == ("nvidia" if "cuda" in name else None)
    assert {wrapper["contexts"][0] for wrapper in tree["xnat"]} == {"xnat:imageSessionData", "xnat:projectData"}


def test_a_label_survives_quotes_dollars_and_backslashes():
    tree = {"text": 'a "quoted" $HOME \\ end'}
    quoted = label(tree).removeprefix(f'LABEL {LABEL}="').removesuffix('"')
    plain = re.sub(r"\\(.)", r"\1", quoted)
    assert json.loads(plain) == [tree]
    assert not re.search(r'(?<!\\)(\\\\)*[$"]', quoted)


@pytest.mark.parametrize("wrapper", TREE["xnat"], ids=lambda wrapper: wrapper["name"])
def test_defaults_of_a_wrapper_are_a_command_line_of_the_app(wrapper):
    levels = next(entry for entry in wrapper["external-inputs"] if entry["name"] == "levels")
    found = parse(line(TREE, {levels["provides-value-for-command-input"]: levels["default-value"]})[1:])
    assert (found.bids_dir, found.output_dir, found.work_dir) == ("/input", "/output", "/work")
    assert found.analysis_level == list(LEVELS[: 1 if "session" in wrapper["name"] else 2])
    assert found.preset == parse(["/input", "/output", "participant"]).preset
    assert not found.force


def test_every_input_is_parsed_back():
    inputs = [entry for entry in TREE["inputs"] if entry["name"] != "analysis_level"]
    values = {e["name"]: e.get("select-values", [SAMPLES[e["type"]]])[0] for e in inputs}
    values |= {"steps": "qsm dti", "atlas": "cit168 thalamus-hcp"}
    values |= {"echo_times": "0.004 0.008", "field_strength": "3"}
    found = parse(line(TREE, values)[1:])
    assert all(getattr(found, name) for name in values)
    assert found.steps == ["qsm", "dti"]
    assert found.atlas == ["cit168", "thalamus-hcp"]
    assert found.echo_times == [0.004, 0.008]


def test_references_within_the_command_resolve():
    mounts, inputs = ({entry["name"] for entry in TREE[key]} for key in ("mounts", "inputs"))
    outputs = {entry["name"] for entry in TREE["outputs"]}
    assert {entry["mount"] for entry in TREE["outputs"]} <= mounts
    keys = [entry["replacement-key"] for entry in TREE["inputs"]]
    assert sorted(keys) == sorted(re.findall(r"#\w+#", TREE["command-line"]))
    assert all(one not in other for one, other in itertools.permutations(keys, 2))
    for wrapper in TREE["xnat"]:
        names = {entry["name"] for entry in wrapper["external-inputs"]}
        for entry in wrapper["external-inputs"]:
            assert entry.get("provides-files-for-command-mount", "in") in mounts
            assert entry.get("provides-value-for-command-input", "analysis_level") in inputs
        for handler in wrapper["output-handlers"]:
            assert handler["accepts-command-output"] in outputs
            assert handler["as-a-child-of"] in names
