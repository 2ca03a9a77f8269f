"""Client of the scanner server, on its own understanding of the protocol: message by message over loopback."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.scanner.parameters import Choice
from qsmengine.scanner.server import Server, ServerSettings
from tests.made_sessions import make_ball

ismrmrd = pytest.importorskip("ismrmrd", reason="needs the extra scanner")
SHAPE = (24, 22, 20)
FAST = ("inversion=tkd", "uncertainty=none")
HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<acquisitionSystemInformation><systemVendor>Virtual</systemVendor>{field}</acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>127728000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>
<encodingLimits/><trajectory>cartesian</trajectory></encoding>
<sequenceParameters>{times}</sequenceParameters></ismrmrdHeader>"""
SPACE = (
    "<matrixSize><x>1</x><y>1</y><z>1</z></matrixSize><fieldOfView_mm><x>1</x><y>1</y><z>1</z></fieldOfView_mm>"
)


def header(times=(4.0, 9.0), field=3.0):
    return HEADER.format(
        space=SPACE,
        field="" if field is None else f"<systemFieldStrength_T>{field}</systemFieldStrength_T>",
        times="".join(f"<TE>{time}</TE>" for time in times),
    )


@contextmanager
def running(*settings, idle=10.0, preset="fast", **choice):
    """A server in a thread on a free port; yields it and the lines of its log."""
    lines = []
    chosen = Choice(settings=settings or FAST, preset=preset, **choice)
    stop = threading.Event()
    with Server(ServerSettings(chosen, cpu(1), port=0, idle=idle), lines.append) as server:
        thread = threading.Thread(target=server.serve, args=(stop,))
        thread.start()
        try:
            yield server, lines
        finally:
            stop.set()
            thread.join(60)
            assert not thread.is_alive()


@cache
def ball():
    """Two echoes at 4 and 9 ms."""
    return make_ball(3, shape=SHAPE, echo_times=(0.004, 0.009))


class Client:
    """One connection."""

    def __init__(self, server, *, config="qsmengine", xml=None, parameters=None):
        self.link = socket.create_connection(server.address, timeout=60)
        self.texts, self.images, self.closed = [], [], False
        if config is not None:
            self.link.sendall(struct.pack("<H1024s", 1, config.encode()))
        if parameters is not None:
            self.choose(parameters)
        if xml is not None:
            self.text(3, xml)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()

    def text(self, number, text):
        body = text.encode()
        self.link.sendall(struct.pack("<HI", number, len(body)) + body)

    def choose(self, parameters):
        self.text(5, json.dumps({"version": "1.0", "parameters": parameters}))

    def image(self, image):
        self.link.sendall(struct.pack("<H", 1022))
        image.serialize_into(self.link.sendall)

    def finish(self):
        self.link.sendall(struct.pack("<H", 4))
        return self.answers()

    def answers(self):
        """Everything that the server sends until it closes; the images of each series by its number."""
        while not self.closed:
            (number,) = struct.unpack("<H", self.read(2))
            if number == 4:
                self.closed = True
            elif number == 5:
                self.texts.append(self.read(*struct.unpack("<I", self.read(4))).decode())
            else:
                assert number == 1022
                self.images.append(ismrmrd.Image.deserialize_from(self.read))
        series = {}
        for image in self.images:
            series.setdefault(image.image_series_index, []).append(image)
        return series

    def read(self, count):
        parts = b""
        while len(parts) < count:
            part = self.link.recv(count - len(parts))
            assert part, "the server closed the connection"
            parts += part
        return parts


def images_of(array, grid, kind, echo, *, slices=False, series=1, meta=None, flip=()):
    """MRD images of a volume (x, y, z): one volume, or a slice each; the geometry is that of `grid`."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    edges = np.asarray(grid.voxel_edges)
    axes = lps[:3, :3] / edges
    count = grid.shape[2]
    made = []
    for z in range(count) if slices else [None]:
        part = array if z is None else array[:, :, z : z + 1]
        middle = (np.array(grid.shape) - 1) / 2
        if z is not None:
            middle[2] = z
        image = ismrmrd.Image.from_array(np.ascontiguousarray(part.transpose(2, 1, 0)))
        image.position = tuple(lps[:3, :3] @ middle + lps[:3, 3])
        image.read_dir, image.phase_dir, image.slice_dir = (tuple(axis) for axis in axes.T)
        image.field_of_view = tuple(edges * part.shape)
        image.image_type, image.contrast, image.image_series_index = kind, echo, series
        image.slice, image.image_index = z or 0, (z or 0) + 1
        image.meta = ismrmrd.Meta({"SequenceDescription": "gre", **(meta or {})})
        made.append(image)
    return made


def send_series(client, series, *, slices=False, reverse=False, convert=lambda phase: phase):
    """Send magnitude (series 1) and phase (series 2) of every echo."""
    for echo in range(series.n_echoes):
        parts = ((1, series.magnitude), (2, convert(series.phase)))
        for kind, array in parts:
            images = images_of(array[..., echo], series.grid, kind, echo, slices=slices, series=kind)
            for image in reversed(images) if reverse else images:
                client.image(image)


def volume_of(images):
    """Voxels (x, y, z) of a series, with the rescale slope, and its affine (RAS)."""
    ordered = sorted(images, key=lambda image: np.dot(image.position, image.slice_dir))
    data = np.concatenate([image.data[0] for image in ordered]).transpose(2, 1, 0)
    return data, float(ordered[0].meta["RescaleSlope"])
