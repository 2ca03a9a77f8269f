"""Leakage of both signs is corrected, with and without backflow, and healthy tissue stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import Device, cpu, to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.perfusion.leakage import leaked_curves
from qsmengine.stages.registry import get_method
from tests.stages.perfusion.brain import GRID, Brain, Image, brain
from tests.stages.perfusion.curves import FRAMES, STEP, TIMES, Curve

LESION = (slice(15, 20), slice(8, 14), slice(4, 8))
SD = 0.05


@pytest.fixture(scope="module")
def head() -> Brain:
    return brain()


def correct(
    method: str, change: Image, mask: Image, device: Device, sd: float = SD, **settings: Any
) -> dict[str, Image]:
    chosen = get_method("leakage", method)
    inputs = {
        "dr2star": change.astype(np.float32), "dr2star_sd": np.full(GRID.shape, sd, np.float32), "mask": mask,
        "frame_times": tuple(TIMES),
    }  # fmt: skip
    found = chosen(inputs, GRID, chosen.params(**settings), device=device)
    return {name: to_numpy(value).astype(np.float64) for name, value in found.items()}


def leaking(head: Brain, k2: float, kep: float) -> tuple[Image, Image, Curve]:
    """dR2* with noise in which a lesion leaks; the lesion; its true curve."""
    rng = np.random.default_rng(4)
    lesion = np.zeros(GRID.shape, bool)
    lesion[LESION] = True
    reference = head.change[head.tissue].mean(axis=0)
    curve = 1.5 * reference
    change = head.change.copy()
    change[lesion] = curve - k2 * leaked_curves(reference, np.array([kep]), STEP)[0]
    return change + SD * rng.normal(size=change.shape), lesion, curve


@pytest.mark.parametrize("k2", [-0.02, 0.03])
@pytest.mark.parametrize(("method", "kep"), [("bsw", 0.0), ("bidirectional", 0.0), ("bidirectional", 0.03)])
def test_blood_volume_of_a_leaking_lesion_is_recovered(
    head: Brain, method: str, kep: float, k2: float, device: Device
) -> None:
    change, lesion, curve = leaking(head, k2, kep)
    found = correct(method, change, head.mask, device)
    raw, corrected = (image[lesion].sum(axis=1).mean() / curve.sum() for image in (change, found["corrected"]))
    assert abs(raw - 1) > 0.15
    assert abs(corrected - 1) <= 0.03
    assert found["k2"][lesion].mean() == pytest.approx(k2, rel=0.15)


@pytest.mark.parametrize("method", ["bsw", "bidirectional"])
@pytest.mark.parametrize("sd", [1e-4, SD])
def test_tissue_without_leakage_keeps_its_blood_volume_and_contrast(
    head: Brain, method: str, sd: float
) -> None:
    """Grey and white matter of different transit times, whose blood volumes have a ratio of 2."""
    healthy = head.change + sd * np.random.default_rng(6).normal(size=head.change.shape)
    found = correct(method, healthy, head.mask, cpu(2), sd)
    volume, raw = found["corrected"].sum(axis=3), healthy.sum(axis=3)
    grey, white = head.grey & head.tissue, ~head.grey & head.tissue
    for where in (grey, white):
        assert volume[where].mean() == pytest.approx(raw[where].mean(), rel=5e-3)
    ratio, expected = (image[grey].mean() / image[white].mean() for image in (volume, raw))
    assert ratio == pytest.approx(expected, abs=0.01)
    assert expected == pytest.approx(2.0, abs=0.02)


def test_textbook_form_corrects_every_voxel(head: Brain) -> None:
    reference = head.change[head.tissue].mean(axis=0)
    change = head.change + SD * np.random.default_rng(6).normal(size=head.change.shape)
    found = correct("bsw", change, head.tissue, cpu(2), everywhere=True, significance=0.0)
    columns = np.stack([reference, leaked_curves(reference, np.zeros(1), STEP)[0]], axis=1)
    fitted = np.linalg.lstsq(columns, change[head.tissue].T, rcond=None)[0]
    assert np.abs(found["k2"][head.tissue] + fitted[1]).max() <= 0.1 * np.abs(fitted[1]).max()


def test_a_mask_without_a_passage_is_refused(head: Brain) -> None:
    with pytest.raises(InputError, match="no passage"):
        correct("bsw", np.full((*GRID.shape, FRAMES), -1.0), head.mask, cpu(1))
