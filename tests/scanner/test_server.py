"""The server over loopback: maps are those of the command, refusals have names, lost clients leave nothing."""

from __future__ import annotations

import gc
import signal
import socket
import struct
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.cli.main import main
from qsmengine.errors import DeviceError, UsageError
from qsmengine.grid import Grid
from qsmengine.io import read_image
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.scanner.parameters import Choice
from qsmengine.scanner.server import Server, ServerSettings
from tests.made_sessions import write_ball
from tests.scanner.client import (
    FAST,
    SHAPE,
    Client,
    ball,
    header,
    images_of,
    ismrmrd,
    running,
    send_series,
    volume_of,
)


@pytest.fixture(scope="module")
def server():
    with running() as (started, _):
        yield started


@pytest.fixture(scope="module")
def commanded(tmp_path_factory):
    """Maps of the command, from files of the same images."""
    folder = tmp_path_factory.mktemp("command")
    files = write_ball(folder / "raw", ball())
    names = ["--magnitude", *map(str, files["mag"]), "--phase", *map(str, files["phase"])]
    more = ["--preset", "fast", "--set", "uncertainty=calibrated", "--set", "swi=homodyne", "--threads", "1"]
    assert main(["qsm", *names, "--out", str(folder / "maps"), "--device", "cpu", "-q", *more]) == 0
    endings = {"chi": "Chimap", "r2star": "R2starmap", "uncertainty": "desc-ci68_Chimap", "swi": "swi"}
    anat = folder / "maps" / "sub-01" / "anat"
    return {name: read_image(anat / f"sub-01_{ending}.nii.gz").array for name, ending in endings.items()}


@pytest.mark.parametrize("slices", [False, True])
def test_maps_are_those_of_the_command_bit_by_bit(commanded, slices):
    chosen = {"pixels": "float"}
    with running("uncertainty=calibrated") as (started, lines), Client(started, xml=header()) as client:
        client.choose(chosen)
        send_series(client, ball().series, slices=slices, reverse=slices)
        answers = client.finish()
    assert sorted(answers) == [3, 4, 5, 6], (client.texts, lines)
    for series, name in zip(sorted(answers), ("chi", "r2star", "uncertainty", "swi"), strict=True):
        assert len(answers[series]) == (SHAPE[2] if slices else 1)
        pixels, _ = volume_of(answers[series])
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, commanded[name], err_msg=name)


def test_integer_pixels_are_within_half_a_step(commanded):
    with running("uncertainty=calibrated") as (started, _), Client(started, xml=header()) as client:
        send_series(client, ball().series)
        answers = client.finish()
    for series, name in ((3, "chi"), (4, "r2star"), (5, "uncertainty")):
        pixels, slope = volume_of(answers[series])
        assert (pixels.dtype, slope) == (np.int16, 0.1)
        factor = 1.0 if name == "r2star" else 1000.0
        wanted = np.clip(commanded[name] * factor, -3276.7, 3276.7)
        assert np.abs(pixels * slope - wanted).max() <= 0.05 + 1e-3
    swi, slope = volume_of(answers[6])
    assert np.abs(swi * slope - commanded["swi"]).max() <= slope / 2 + 1e-3


def test_headers_of_the_answer(server):
    with Client(server, xml=header()) as client:
        send_series(client, ball().series, slices=True)
        answers = client.finish()
    sent = images_of(ball().series.magnitude[..., 0], ball().series.grid, 1, 0, slices=True)
    for number, images in answers.items():
        for index, (image, source) in enumerate(zip(images, sent, strict=True)):
            for name in ("position", "read_dir", "phase_dir", "slice_dir", "field_of_view"):
                assert list(getattr(image, name)) == list(getattr(source, name)), name
            assert (image.image_type, image.contrast, image.slice) == (1, 0, index)
            assert (image.image_series_index, image.image_index) == (number, index + 1)
            assert image.meta["SequenceDescription"] == "gre"
    chi, r2star, swi = (answers[number][0].meta for number in (3, 4, 5))
    assert (chi["WindowCenter"], chi["WindowWidth"], chi["DataRole"]) == ("0", "200", "Quantitative")
    assert (chi["ImageType"], chi["SeriesDescriptionAdditional"]) == (["DERIVED", "QSM", "CHI"], "chi_ppb")
    assert (r2star["WindowCenter"], r2star["WindowWidth"]) == ("30", "60")
    assert swi["DataRole"] == "Image"
    pixels, slope = volume_of(answers[5])
    bright = np.percentile(pixels[pixels > 0] * slope, 99.5)
    assert (int(swi["WindowCenter"]), int(swi["WindowWidth"])) == pytest.approx((bright / 2, bright), abs=2)


def test_client_chooses_preset_and_maps(server):
    chosen = {"preset": "accurate", "r2star": "false", "swi": False, "config": "anything"}
    with Client(server, xml=header(), parameters=chosen) as client:
        send_series(client, ball().series)
        (images,) = client.finish().values()
    assert "preset accurate" in images[0].meta["ImageComments"]
    with Client(server, config="consensus", xml=header()) as client:
        send_series(client, ball().series)
        assert "preset consensus" in client.finish()[3][0].meta["ImageComments"]


def test_raw_phase_of_siemens_scanners(commanded, server):
    def raw(phase):
        return np.rint((phase + np.pi) / (2 * np.pi) * 4096).clip(0, 4095).astype(np.uint16)

    with Client(server, xml=header(), parameters={"pixels": "float"}) as client:
        send_series(client, ball().series, convert=raw)
        chi, _ = volume_of(client.finish()[3])
    assert any("raw Siemens units" in text for text in client.texts)
    with Client(server, xml=header(), parameters={"pixels": "float"}) as client:
        send_series(client, ball().series)
        exact, _ = volume_of(client.finish()[3])
    inside = exact != 0
    assert np.corrcoef(chi[inside], exact[inside])[0, 1] > 0.999


def test_waveforms_and_remarks_are_skipped(server):
    waveform = ismrmrd.Waveform.from_array(np.zeros((2, 50), np.uint32))
    with Client(server, xml=header()) as client:
        client.text(5, "scan started")
        client.link.sendall(struct.pack("<H", 1026))
        waveform.serialize_into(client.link.sendall)
        send_series(client, ball().series)
        assert client.finish()


def test_client_that_stops_halfway_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    large = np.zeros((128, 128, 64), np.float32)
    body = bytearray()
    for image in images_of(large, ball().series.grid, 1, 0):
        image.serialize_into(body.extend)
    with running() as (started, lines):
        with Client(started, xml=header()) as client:
            send_series(client, ball().series)
            client.finish()  # everything is loaded
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(3):
                with Client(started, xml=header()) as client:
                    client.link.sendall(struct.pack("<H", 1022) + body)
                    client.link.sendall(struct.pack("<H", 1022) + body[: len(body) // 2])
            with Client(started, xml=header()) as client:
                send_series(client, ball().series)
                assert client.finish()
            gc.collect()
            left = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert sum("lost: the client closed the connection" in line for line in lines) == 3
    assert left < len(body) / 2
    assert list(tmp_path.iterdir()) == []


def test_client_that_leaves_before_the_answer_and_a_silent_one(tmp_path):
    with running(idle=0.5) as (started, lines):
        with Client(started, xml=header()) as client:
            send_series(client, ball().series)
            client.link.sendall(struct.pack("<H", 4))
            client.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with Client(started, xml=header()), Client(started, xml=header()) as waiting:
            send_series(waiting, ball().series)
            assert waiting.finish()
    assert any(line.startswith("lost: the client was silent for 0.5 s") for line in lines)


def test_error_of_the_program_reaches_the_client_and_spares_the_next(monkeypatch, server):
    def broken(*_, **__):
        raise RuntimeError("broken")

    with monkeypatch.context() as patched:
        patched.setattr("qsmengine.scanner.session.run_qsm", broken)
        with Client(server, xml=header()) as client:
            send_series(client, ball().series)
            client.finish()
    assert client.texts[-1] == "error: unexpected RuntimeError: broken"
    with Client(server, xml=header()) as client:
        send_series(client, ball().series)
        assert client.finish()


def test_server_refuses_a_wrong_configuration_and_a_taken_port(server):
    with pytest.raises(UsageError, match="inversion"):
        Server(ServerSettings(Choice(settings=("inversion=none-such",)), cpu(1), port=0), print)
    with pytest.raises(DeviceError, match="cannot listen on"):
        Server(ServerSettings(Choice(), cpu(1), port=server.address[1]), print)


def test_command_listens_on_loopback_and_ends_by_signal():
    command = [sys.executable, "-m", "qsmengine", "serve", "--port", "0", "--device", "cpu", "--preset", "fast"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), line
        address = line.split()[2].rstrip(",").split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=10) as link:
            link.sendall(struct.pack("<H", 999))
            assert b"MRD message 999" in link.recv(1000)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert rest.endswith("stopped\n")


SAGITTAL = np.array(
    [[0.0, 0.0, -1.0, 20.0], [1.0, 0.0, 0.0, -11.0], [0.0, -1.0, 0.0, 7.5], [0.0, 0.0, 0.0, 1.0]]
)
FLIPPED = np.array(
    [[-1.0, 0.0, 0.0, 20.0], [0.0, 1.0, 0.0, -11.0], [0.0, 0.0, -1.0, 7.5], [0.0, 0.0, 0.0, 1.0]]
)
COS, SIN = np.cos(np.radians(20.0)), np.sin(np.radians(20.0))
OBLIQUE = np.array([[1.0, 0.0, 0.0, 3.3], [0.0, COS, -SIN, 1.7], [0.0, SIN, COS, 9.1], [0.0, 0.0, 0.0, 1.0]])


@pytest.mark.parametrize(("affine", "exact"), [(SAGITTAL, True), (FLIPPED, True), (OBLIQUE, False)])
def test_orientations_are_those_of_the_grid(server, affine, exact):
    grid = Grid(SHAPE, affine @ np.diag([2.0, 2.0, 2.0, 1.0]), 3.0)
    series = replace(ball().series, grid=grid)
    config = Choice(settings=FAST, preset="fast").config()
    wanted = to_numpy(run_qsm(series, config, cpu(1)).chi)
    with Client(server, xml=header(), parameters={"pixels": "float"}) as client:
        send_series(client, series, slices=True)
        chi, _ = volume_of(client.finish()[3])
    bound = 0.0 if exact else 1e-5
    assert np.abs(chi - wanted).max() <= bound
    upright = to_numpy(run_qsm(ball().series, config, cpu(1)).chi)
    assert (np.abs(wanted - upright).max() > 0.05) == (affine is not FLIPPED)


def test_slices_whose_normal_is_reversed_come_back_to_their_places(server):
    series = ball().series
    last = SHAPE[2] - 1
    mirror = np.diag([1.0, 1.0, -1.0, 1.0])
    mirror[2, 3] = last
    turned = replace(
        series,
        magnitude=series.magnitude[:, :, ::-1],
        phase=series.phase[:, :, ::-1],
        grid=series.grid.replace(affine=series.grid.affine @ mirror),
    )
    wanted = to_numpy(run_qsm(turned, Choice(settings=FAST, preset="fast").config(), cpu(1)).chi)
    order = {}
    with Client(server, xml=header(), parameters={"pixels": "float"}) as client:
        for echo in range(2):
            for kind, array in ((1, series.magnitude), (2, series.phase)):
                for z, image in enumerate(images_of(array[..., echo], series.grid, kind, echo, slices=True)):
                    image.slice_dir = (0.0, 0.0, -1.0)
                    order[image.position[2]] = last - z
                    client.image(image)
        answer = client.finish()[2]
    assert len({image.position[2] for image in answer}) == SHAPE[2]
    for image in answer:
        np.testing.assert_array_equal(image.data[0, 0].T, wanted[:, :, order[image.position[2]]])
