"""What cannot be reconstructed is refused with a text that names message, image or field."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest

from tests.scanner.client import Client, ball, header, images_of, ismrmrd, running, send_series


@pytest.fixture(scope="module")
def server():
    with running() as (started, _):
        yield started


REFUSED = {
    "no header": (None, "MRD header: not sent"),
    "no field strength": (header(field=None), "acquisitionSystemInformation.systemFieldStrength_T: not found"),
    "no echo times": (header(times=()), "sequenceParameters.TE: not found"),
    "not a header": ("<html/>", "not the XML of an MRD header"),
    "too few echo times": (header(times=(4.0,)), "1 echo times, but there is magnitude of echo 2"),
    "too many echo times": (header(times=(4.0, 9.0, 14.0)), "magnitude of echo 3: no image was sent"),
    "echo times in microseconds": (header(times=(4000.0, 9000.0)), "sequenceParameters.TE:"),
}


@pytest.mark.parametrize(("xml", "reason"), REFUSED.values(), ids=REFUSED)
def test_header_is_refused_by_name(server, xml, reason):
    with Client(server, xml=xml) as client:
        send_series(client, ball().series)
        client.finish()
    assert not client.images
    assert client.texts[-1].startswith("error: ")
    assert reason in client.texts[-1]


def test_raw_data_are_refused_by_name(server):
    acquisition = ismrmrd.Acquisition.from_array(np.zeros((2, 64), np.complex64))
    with Client(server, xml=header()) as client:
        client.link.sendall(struct.pack("<H", 1008))
        acquisition.serialize_into(client.link.sendall)
        client.answers()
    reason = "raw k-space data are not reconstructed here; send magnitude and phase images"
    assert client.texts == [f"error: MRD message 1008 (acquisition): {reason}"]


def refusal(server, change, *, xml=None, count=2):
    """Text about a series one of whose images `change` has changed."""
    series = ball().series
    with Client(server, xml=xml or header()) as client:
        for echo in range(count):
            for kind, array in ((1, series.magnitude), (2, series.phase)):
                for image in images_of(array[..., echo], series.grid, kind, echo, slices=True):
                    if change(image, kind, echo) is not False:
                        client.image(image)
        client.finish()
    assert not client.images
    return client.texts[-1]


def set_field(name, value, **when):
    def change(image, kind, echo):
        wanted = {"kind": kind, "echo": echo, "slice": image.slice}
        if all(wanted[key] == value for key, value in when.items()):
            setattr(image, name, value)

    return change


def without_phase(_image, kind, _echo):
    return kind == 1


def without_fourth_slice(image, _kind, echo):
    return image.slice != 3 or echo == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_phase, "phase of echo 1: no image was sent"),
        (without_fourth_slice, "magnitude of echo 2: 19 of 20 slices were sent"),
        (set_field("image_type", 5, kind=2), "image: image_type: complex: only magnitude (1) and phase (2)"),
        (set_field("repetition", 1, echo=1), "image: repetition: 1: a single repetition"),
        (set_field("position", (0.0, 0.0, 500.0), slice=4), "position: the distances of the slices differ"),
        (set_field("read_dir", (0.0, 0.0, 0.0), slice=0), "read_dir: [0.0, 0.0, 0.0] is not a direction"),
        (set_field("field_of_view", (40.0, 44.0, 0.0), kind=1), "field_of_view: [40.0, 44.0, 0.0] mm"),
        (set_field("field_of_view", (24.0, 22.0, 2.0), echo=1), "magnitude of echo 2"),
    ],
)
def test_images_are_refused_by_name(server, change, reason):
    text = refusal(server, change)
    assert text.startswith("error: ")
    assert reason in text


def test_parameters_are_refused_by_name(server):
    for parameters, reason in (
        ({"presett": "fast"}, "unknown parameter 'presett'; did you mean preset?"),
        ({"preset": "fastest"}, "preset: unknown value 'fastest'; did you mean fast?"),
        ({"swi": "perhaps"}, "swi: 'perhaps' is neither true nor false"),
    ):
        with Client(server, parameters=parameters) as client:
            client.answers()
        assert reason in client.texts[-1]


def lying_header(shape, attributes=0):
    image = ismrmrd.Image.from_array(np.zeros((1, 1, 1), np.float32))
    head = image.getHead()
    head.matrix_size = shape
    return struct.pack("<H", 1022) + bytes(head) + struct.pack("<Q", attributes)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lying_header((65535, 65535, 65535)), "an image: 1125848368021500 bytes, at most"),
        (lying_header((1, 1, 1), 2**63), "the attributes of an image: 9223372036854775808 bytes"),
        (lying_header((0, 4, 4)), "image: matrix_size: (0, 4, 4, 1) voxels"),
        (struct.pack("<HI", 3, 2**32 - 1), "message 3 (header): 4294967295 bytes, at most 4194304 are"),
        (struct.pack("<H", 999), "MRD message 999: not a message that this server understands"),
        (struct.pack("<HI", 5, 2) + b"\xff\xfe", "message 5 (text): not UTF-8"),
    ],
)
def test_lengths_are_checked_before_memory_is_reserved(server, body, reason):
    tracemalloc.start()
    try:
        with Client(server, xml=header()) as client:
            client.link.sendall(body)
            client.answers()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason in client.texts[-1]
    assert peak < 20e6
