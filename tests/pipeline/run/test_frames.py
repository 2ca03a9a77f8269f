"""Arrays of a run in the box of the mask: the same values as on the whole image."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from bench.inputs.heads import head
from qsmengine.backend.device import Device, to_numpy
from qsmengine.grid import Grid
from qsmengine.pipeline.run.frames import MARGIN, Compact, Frames, Maps, mask_box
from qsmengine.stages.registry import all_methods

SHAPE, TIMES = (30, 28, 26), (0.004, 0.009, 0.014, 0.019)
WITHIN = [m for m in all_methods() if m.within_mask]


def ball(centre=(11, 15, 13), radius=8.0, shape=SHAPE):
    points = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    return ((points - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0) < radius**2


@pytest.fixture
def grid():
    affine = np.array([[-1.1, 0, 0, 7.0], [0, 0.9, 0.1, -3.0], [0, -0.1, 1.2, 5.0], [0, 0, 0, 1]])
    return Grid(SHAPE, affine, 3.0)


@pytest.fixture
def images(grid, rng):
    """A smooth field with detail, its series of echoes, and noise outside."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    field = 0.4 * x * y + 0.3 * z + 0.02 * rng.standard_normal(SHAPE)
    mask = ball()
    decay = np.exp(-np.array(TIMES) * (20 + 10 * rng.random(SHAPE))[..., None])
    unwrapped = 2 * np.pi * 42.58 * 3.0 * field[..., None] * np.array(TIMES)
    phase = np.angle(np.exp(1j * unwrapped))
    outside = ~mask[..., None]
    magnitude = np.where(outside, rng.random((*SHAPE, 4)), 100 * decay)
    found = {"phase": phase, "unwrapped": unwrapped, "magnitude": magnitude, "total_field": field}
    found |= {"noise": 0.002 + 0.001 * rng.random(SHAPE), "weight": 0.5 + rng.random(SHAPE)}
    return {name: image.astype(np.float32) for name, image in found.items()} | {"mask": mask}


def inputs_of(method):
    return {name.rstrip("?") for name in method.inputs}


def padded(values):
    """Arrays of a head in a larger image; tables are unchanged."""
    ends = ((4, 4),) * 3
    return {
        name: np.pad(v, ends + ((0, 0),) * (v.ndim - 3), "constant" if v.dtype == bool else "edge")
        if isinstance(v, np.ndarray) and v.ndim >= 3 else v
        for name, v in values.items()
    }  # fmt: skip


@pytest.mark.parametrize("method", WITHIN, ids=lambda m: f"{m.stage}/{m.name}")
def test_methods_within_the_mask_give_the_same_in_its_box(method, images, grid, device):
    images |= {"echo_times": TIMES}
    if not inputs_of(method) <= images.keys():
        images, grid = padded(head("oblique").values), head("oblique").grid
        grid = grid.replace(shape=images["mask"].shape)
    given = {name: images[name] for name in inputs_of(method) | {"mask"}}
    given = {n: device.asarray(v, v.dtype) if isinstance(v, np.ndarray) else v for n, v in given.items()}
    frames = Frames(given | {"brain_mask": given["mask"]}, grid, device)
    params = method.params(**({"iterations": 12} if method.iterative else {}))
    results = []
    for within in (False, True):
        frame = frames.frame(within_mask=within)
        assert (frame.grid.shape != grid.shape) == within
        inputs = {name: frame[name] for name in inputs_of(method)}
        for name, array in method(inputs, frame.grid, params, device=device).items():
            frame[name + "!"] = array
        whole = frames.frame(within_mask=False)
        results.append({name: to_numpy(whole[name + "!"]).copy() for name in method.outputs})
    for name, expected in results[0].items():
        found = results[1][name]
        assert found.shape == expected.shape
        if expected.dtype == bool:
            assert np.array_equal(found, expected)
        elif expected.ndim == 0:
            assert found == pytest.approx(float(expected))
        else:
            inside = images["mask"]
            assert not found[~inside].any()
            scale = np.abs(expected[inside]).max()
            assert np.abs(found[inside] - expected[inside]).max() <= 1e-4 * scale


def test_an_array_is_the_same_on_both_grids(grid, device, rng):
    field, series = rng.standard_normal(SHAPE), rng.standard_normal((*SHAPE, 3))
    mask = ball()
    frames = Frames(
        {
            "field": device.asarray(field), "series": device.asarray(series), "times": (1, 2),
            "brain_mask": device.asarray(mask, bool),
        },
        grid, device,
    )  # fmt: skip
    part = frames.frame(within_mask=True)
    start = [n.min() - MARGIN for n in np.nonzero(mask)]
    box = tuple(slice(a, a + n) for a, n in zip(start, part.grid.shape, strict=True))
    for name, image in (("field", field), ("series", series)):
        assert np.array_equal(to_numpy(part[name]), image[box].astype(np.float32))
    assert part["series"].transpose(3, 0, 1, 2).flags.c_contiguous
    assert part["times"] == (1, 2)
    corner = grid.affine @ [*start, 1]
    assert np.allclose(part.grid.affine @ [0, 0, 0, 1], corner)
    part["field"] = 2 * part["field"]
    part["series"] = 3 * part["series"]
    outside = np.ones(SHAPE, bool)
    outside[box] = False
    maps = Maps(frames, ("field", "series"))
    for name, factor, image in (("field", 2, field), ("series", 3, series)):
        assert np.allclose(to_numpy(maps[name])[box], factor * image[box])
        assert not to_numpy(maps[name])[outside].any()
    assert sorted(maps) == ["field", "series"]
    assert "times" not in maps
    with pytest.raises(KeyError):
        maps["times"]


def test_a_map_of_a_finished_run_is_kept_on_one_grid(grid, device, rng):
    mask = device.asarray(ball(), bool)
    frames = Frames({"brain_mask": mask}, grid, device)
    part = frames.frame(within_mask=True)
    made = device.asarray(rng.standard_normal(part.grid.shape))
    part["made"], freed = made, weakref.ref(made)
    maps = Maps(frames, ("made",))
    del made
    assert freed() is not None
    assert maps["made"] is maps["made"]
    assert freed() is None


def test_maps_from_the_box_lie_in_memory_as_in_files(grid, rng):
    cpu, mask = Device("cpu", threads=1), ball()
    made = {"map": rng.standard_normal(SHAPE), "vectors": rng.standard_normal((*SHAPE, 3))}
    frames = Frames(
        {"brain_mask": mask, **{name: array.astype(np.float32) for name, array in made.items()}}, grid, cpu
    )
    part = frames.frame(within_mask=True)
    for name in made:
        part[f"{name}!"] = part[name]
    maps = Maps(frames, ("map!", "vectors!"))
    for name, array in made.items():
        found = to_numpy(maps[f"{name}!"])
        assert np.array_equal(found[mask], array[mask].astype(np.float32))
        assert found.flags.f_contiguous
        assert maps[f"{name}!"] is maps[f"{name}!"]


def test_another_brain_mask_moves_the_box(grid, device, rng):
    image = rng.standard_normal(SHAPE).astype(np.float32)
    masks = [device.asarray(ball(centre, 6.0), bool) for centre in ((9, 9, 9), (20, 18, 15))]
    frames = Frames({"image": device.asarray(image), "brain_mask": masks[0]}, grid, device)
    part = frames.frame(within_mask=True)
    part["made"] = part["image"] + 1
    frames.frame(within_mask=False)["brain_mask"] = masks[1]
    moved = frames.frame(within_mask=True)
    assert int(moved["brain_mask"].sum()) == int(masks[1].sum())
    made = to_numpy(frames.frame(within_mask=False)["made"])
    inside = to_numpy(masks[0])
    assert np.array_equal(made[inside], image[inside] + 1)
    start = [max(n.min() - MARGIN, 0) for n in np.nonzero(to_numpy(masks[1]))]
    box = tuple(slice(a, a + n) for a, n in zip(start, moved.grid.shape, strict=True))
    assert np.array_equal(to_numpy(moved["made"]), made[box])


def test_a_mask_that_fills_the_image_is_not_cut_out(grid, device):
    frames = Frames({"brain_mask": device.asarray(np.ones(SHAPE), bool)}, grid, device)
    assert frames.frame(within_mask=True).grid is grid
    assert frames.frame(within_mask=True)["brain_mask"].shape == SHAPE


def test_the_grid_of_a_box_keeps_its_field_strength_and_scale(grid):
    box = (slice(2, 9), slice(0, 5), slice(3, 20))
    found = grid.replace(length_scale=0.5).part(box)
    assert (found.shape, found.field_strength, found.length_scale) == ((7, 5, 17), 3.0, 0.5)


def test_a_compact_map_is_not_brought_to_the_image(grid, device, rng):
    ones = device.asarray(np.ones(SHAPE, np.float32))
    frames = Frames({"brain_mask": device.asarray(ball()), "b1": ones}, grid, device)
    frame = frames.frame(within_mask=True)
    values = rng.random(frame.grid.shape).astype(np.float32)
    frame["r1"] = device.asarray(values)
    maps = Maps(frames, ("brain_mask", "r1")).including("b1")
    assert list(maps) == ["brain_mask", "r1", "b1"]
    assert "r1" in maps
    assert "r2" not in maps
    assert maps.within_mask()["b1"].shape == maps.within_mask()["r1"].shape == frame.grid.shape
    found = maps.compact("r1")
    assert found.array.shape == frame.grid.shape
    whole = np.zeros(SHAPE, np.float32)
    whole[found.part] = to_numpy(found.array)
    assert np.array_equal(whole, to_numpy(maps["r1"]))
    assert maps.compact("r1").array.shape == maps.compact("b1").array.shape == SHAPE
    cropped, mask = maps.within_mask()["brain_mask"], maps.compact("brain_mask")  # already in the box
    assert (mask.array is cropped, mask.part) == (True, mask_box(ball()))


def test_an_array_may_be_known_in_the_box_of_the_mask_only(grid, device, images):
    mask, image = device.asarray(images["mask"], bool), device.asarray(images["total_field"])
    box = mask_box(mask)
    frames = Frames({"brain_mask": mask, "field": Compact(image[box], box)}, grid, device)
    np.testing.assert_array_equal(to_numpy(frames.frame(within_mask=True)["field"]), images["total_field"][box])
    with pytest.raises(ValueError, match="another part"):
        Frames({"brain_mask": mask, "field": Compact(image[2:5, :, :], (slice(2, 5), *box[1:]))}, grid, device)


def test_narrowed_arrays_lose_what_lies_outside_the_box_and_their_memory(grid, images):
    frames = Frames(dict(images), grid, Device("cpu"))
    whole = weakref.ref(images.pop("magnitude"))
    box = mask_box(images["mask"])
    frames.put("brain_mask", images["mask"], part=False)
    frames.narrow({"magnitude", "absent"})
    assert whole() is None
    found = frames.get("magnitude", part=True)
    assert found.shape[:3] == images["mask"][box].shape
    pasted = frames.get("magnitude", part=False)
    np.testing.assert_array_equal(pasted[box], found)
    assert np.count_nonzero(pasted) == np.count_nonzero(found)


def test_nothing_is_narrowed_without_a_mask_or_to_a_box_that_fills_the_image(grid, images):
    frames = Frames({"magnitude": images["magnitude"]}, grid, Device("cpu"))
    frames.narrow({"magnitude"})
    frames.put("brain_mask", np.ones(SHAPE, bool), part=False)
    frames.narrow({"magnitude"})
    np.testing.assert_array_equal(frames.get("magnitude", part=False), images["magnitude"])
