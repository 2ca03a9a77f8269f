"""Layers of the network against an independent convolution, and its bundled weights."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import correlate

from qsmengine.backend.device import Device
from qsmengine.errors import InputError, OutOfMemoryError
from qsmengine.stages.anatomy import network
from qsmengine.stages.anatomy.network import CLASSES, Layer, Network, classify, in_groups, load_network
from tests.stages.gre import DEVICE
from tools.meshnet import converted

SHAPE = (7, 6, 32)


def _small(rng: np.random.Generator) -> tuple[Network, list[Any]]:
    """A network of two layers and three classes, and its kernels (3, 3, 3, input, output)."""
    kernels = [rng.normal(size=(3, 3, 3, i, 6), scale=0.3).astype(np.float32) for i in (1, 6)]
    biases = [rng.normal(size=6, scale=0.1).astype(np.float32) for _ in kernels]
    layers = tuple(Layer(in_groups(k), b, d) for k, b, d in zip(kernels, biases, (1, 3), strict=True))
    last = rng.normal(size=(6, 3)).astype(np.float32)
    return Network(layers, last, rng.normal(size=3).astype(np.float32)), list(
        zip(kernels, biases, (1, 3), strict=True)
    )


def test_classes_are_those_of_dilated_convolutions(device: Device):
    rng = np.random.default_rng(1)
    small, kernels = _small(rng)
    image = rng.uniform(size=SHAPE).astype(np.float32)
    values = [image.astype(float)]
    for kernel, bias, dilation in kernels:
        spread = np.zeros((2 * dilation + 1,) * 3 + kernel.shape[3:])
        spread[::dilation, ::dilation, ::dilation] = kernel
        sums = [
            bias[o] + sum(correlate(v, spread[..., i, o], mode="constant") for i, v in enumerate(values))
            for o in range(kernel.shape[4])
        ]
        values = [np.where(s > 0, s, np.expm1(np.minimum(s, 0))) for s in sums]
    scores = np.einsum("cxyz,ck->kxyz", np.array(values), small.weights) + small.bias[:, None, None, None]
    found = device.xp.asarray(classify(image, small, device))
    ordered = np.sort(scores, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-3
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(np.asarray(_host(found))[clear], scores.argmax(axis=0)[clear])


def _host(array):
    return array.get() if hasattr(array, "get") else array


def test_the_bundled_network_has_the_classes_and_dilations_of_its_description():
    bundled = load_network()
    assert bundled.weights.shape == (30, len(CLASSES))
    assert [layer.dilation for layer in bundled.layers] == [1, 2, 4, 8, 16, 8, 4, 2, 1]
    assert bundled.layers[3].weights.shape == (5, 30, 27, 6)
    assert all(np.isfinite(layer.weights).all() for layer in bundled.layers)


def test_a_model_of_brainchop_is_converted_in_the_order_of_its_manifest(tmp_path):
    rng = np.random.default_rng(2)
    kernel, bias = rng.normal(size=(3, 3, 3, 1, 6)), rng.normal(size=6)
    config = {"name": "conv3d_0", "dilation_rate": [4, 4, 4]}
    weights = [
        {"name": f"conv3d_0/{n}", "shape": list(a.shape)} for n, a in (("kernel", kernel), ("bias", bias))
    ]
    model = {
        "modelTopology": {"model_config": {"config": {"layers": [{"class_name": "Conv3D", "config": config}]}}},
        "weightsManifest": [{"weights": weights}],
    }
    (tmp_path / "model.json").write_text(json.dumps(model))
    np.concatenate([kernel.ravel(), bias]).astype("<f4").tofile(tmp_path / "model.bin")
    found = converted(tmp_path)
    np.testing.assert_allclose(found["kernel0"], kernel, rtol=1e-6)
    np.testing.assert_allclose(found["bias0"], bias, rtol=1e-6)
    assert list(found["dilations"]) == [4]
    np.zeros(3, "<f4").tofile(tmp_path / "model.bin")
    with pytest.raises(ValueError, match="manifest"):
        converted(tmp_path)


def test_rows_of_another_length_and_too_little_memory_are_refused(monkeypatch):
    small, _ = _small(np.random.default_rng(3))
    with pytest.raises(InputError, match="multiple of 32"):
        classify(np.zeros((5, 5, 30), np.float32), small, DEVICE)
    monkeypatch.setattr(network, "available_memory", lambda _: 1000)
    with pytest.raises(OutOfMemoryError, match="segmentation of the brain"):
        classify(np.zeros(SHAPE, np.float32), small, DEVICE)
