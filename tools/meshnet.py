"""`python -m tools meshnet FOLDER`: convert a MeshNet of brainchop into the weights of the package.

FOLDER holds ``model.json`` and ``model.bin``, a layers model of TensorFlow.js. The result has the arrays
``kernelN`` (3, 3, 3, input, output), ``biasN`` (output,) and ``dilations`` (layer,) of every layer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.stages.anatomy import network

TARGET = Path(network.__file__).parent / "data" / network.WEIGHTS


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m tools meshnet", description=__doc__)
    arguments.add_argument("folder", type=Path, help="folder with model.json and model.bin")
    arguments.add_argument("--out", type=Path, default=TARGET, help="file of the weights")
    options = arguments.parse_args(argv)
    np.savez_compressed(options.out, allow_pickle=False, **converted(options.folder))
    print(f"{options.out}: {options.out.stat().st_size / 1024:.0f} KiB")
    return 0


def converted(folder: Path) -> dict[str, Any]:
    """Return the arrays of the weights file."""
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    numbers, at, stored = np.fromfile(folder / "model.bin", "<f4"), 0, {}
    entries = [entry for group in model["weightsManifest"] for entry in group["weights"]]
    expected = sum(int(np.prod(entry["shape"])) for entry in entries)
    if expected != numbers.size:
        raise ValueError(f"{folder / 'model.bin'}: {numbers.size} numbers, the manifest has {expected}")
    for entry in entries:
        count = int(np.prod(entry["shape"]))
        stored[entry["name"]] = numbers[at : at + count].reshape(entry["shape"])
        at += count
    topology = model["modelTopology"]
    layers = topology.get("model_config", topology)["config"]["layers"]
    found = [layer["config"] for layer in layers if layer["class_name"] == "Conv3D"]
    arrays: dict[str, Any] = {"dilations": np.array([layer["dilation_rate"][0] for layer in found], np.int32)}
    for number, layer in enumerate(found):
        arrays[f"kernel{number}"] = stored[f"{layer['name']}/kernel"]
        arrays[f"bias{number}"] = stored[f"{layer['name']}/bias"]
    return arrays
