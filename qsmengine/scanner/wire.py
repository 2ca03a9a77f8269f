"""Messages of the MRD streaming protocol on a socket.

A message is a 16-bit identifier and a body, little-endian (ISMRMRD 1.4 and later, "MR Data message format").
Every length is checked before memory is reserved for it.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from ctypes import sizeof
from dataclasses import dataclass
from enum import IntEnum
from time import monotonic
from typing import Any, TypeAlias

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import DeviceError, InputError

MOST_TEXT = 4 * 2**20
"""Largest text, header or attribute string [bytes]."""
FILE_NAME = 1024
"""Size of the name of a configuration file [bytes]."""
WAVEFORM_SAMPLE = 4
"""Size of a sample of a waveform [bytes]."""
LINGER = 5.0
"""Time [s] in which a refused client may read the reason while its data are discarded."""
_BLOCK = 2**20
_ID, _LENGTH, _LONG = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_TYPES = {1: "u2", 2: "i2", 3: "u4", 4: "i4", 5: "f4", 6: "f8", 7: "c8", 8: "c16"}


class Id(IntEnum):
    """Identifiers of messages."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026


class LostConnectionError(Exception):
    """Connection that ended, or stayed silent, in the middle of a session."""


@dataclass(frozen=True)
class Words:
    """Text of a message: the name of a configuration, its text, the header or a remark."""

    id: Id
    text: str


@dataclass(frozen=True)
class Image:
    """Image of a message: header of the package ismrmrd, attributes, voxels (channel, z, y, x)."""

    head: Any
    meta: Any
    data: Array


Message: TypeAlias = Words | Image | None
"""None closes the session."""


def ismrmrd() -> Any:
    """Return the package ismrmrd; raises DeviceError if it is not installed."""
    try:
        import ismrmrd as package
    except ImportError:
        raise DeviceError("the scanner server needs ismrmrd: pip install 'qsmengine[scanner]'") from None
    return package


class Connection:
    """Connection to one client.

    Parameters
    ----------
    link
        Connected socket.
    room
        Bytes of voxels that the client may send in total.
    idle
        Seconds of silence after which the connection counts as lost.
    """

    def __init__(self, link: socket.socket, *, room: int, idle: float) -> None:
        self._link, self._room = link, room
        link.settimeout(idle)

    def receive(self) -> Message:
        """Return the next message with content; waveforms are skipped.

        Raises
        ------
        InputError
            For raw data, an unknown message, or a length beyond the limits.
        LostConnectionError
            If the client is gone or silent.
        """
        while True:
            number = _ID.unpack(self._read(_ID.size))[0]
            if number == Id.WAVEFORM:
                self._skip_waveform()
                continue
            if number == Id.CLOSE:
                return None
            if number == Id.IMAGE:
                return self._image()
            if number == Id.CONFIG_FILE:
                name = bytes(self._read(FILE_NAME)).split(b"\0", 1)[0]
                return Words(Id.CONFIG_FILE, _decoded(name, "the name of the configuration"))
            if number in {Id.CONFIG_TEXT, Id.HEADER, Id.TEXT}:
                return Words(Id(number), self._text(Id(number)))
            if number == Id.ACQUISITION:
                raise InputError(
                    "raw k-space data are not reconstructed here; send magnitude and phase images",
                    source="MRD message 1008 (acquisition)",
                )
            raise InputError("not a message that this server understands", source=f"MRD message {number}")

    def send_text(self, text: str) -> None:
        """Send a remark."""
        body = text.encode()
        self._send(_ID.pack(Id.TEXT) + _LENGTH.pack(len(body)) + body)

    def send_image(self, image: Any) -> None:
        """Send an image of the package ismrmrd."""
        self._send(_ID.pack(Id.IMAGE))
        image.serialize_into(self._send)

    def send_close(self) -> None:
        """End the session."""
        self._send(_ID.pack(Id.CLOSE))

    def refuse(self, reason: str) -> None:
        """Send the reason and close; discard what the client still sends, so that it can read the reason."""
        with suppress(OSError, LostConnectionError):
            self.send_text(reason)
            self.send_close()
            self._link.shutdown(socket.SHUT_WR)
            self._link.settimeout(LINGER)
            end = monotonic() + LINGER
            while self._link.recv(_BLOCK) and monotonic() < end:
                pass

    def _image(self) -> Image:
        package = ismrmrd()
        head = package.ImageHeader.from_buffer_copy(bytes(self._read(sizeof(package.ImageHeader))))
        attributes = _LONG.unpack(self._read(_LONG.size))[0]
        _check_length(attributes, MOST_TEXT, "the attributes of an image")
        if head.data_type not in _TYPES:
            raise InputError(f"{head.data_type} is not a type of MRD", source="image", field="data_type")
        kind = np.dtype(_TYPES[head.data_type]).newbyteorder("<")
        shape = (int(head.channels), *(int(n) for n in reversed(head.matrix_size)))
        size = int(np.prod(shape, dtype=object)) * kind.itemsize
        if size == 0:
            raise InputError(f"{shape[::-1]} voxels", source="image", field="matrix_size")
        _check_length(size, self._room, "an image")
        self._room -= size
        text = _decoded(bytes(self._read(attributes)).rstrip(b"\0"), "the attributes of an image")
        data = np.frombuffer(self._read(size), kind).reshape(shape)
        return Image(head, _meta(package, text), data)

    def _text(self, number: Id) -> str:
        length = _LENGTH.unpack(self._read(_LENGTH.size))[0]
        what = f"message {int(number)} ({number.name.lower().replace('_', ' ')})"
        _check_length(length, MOST_TEXT, what)
        return _decoded(bytes(self._read(length)).rstrip(b"\0"), what)

    def _skip_waveform(self) -> None:
        kind = ismrmrd().waveform.WaveformHeader
        head = kind.from_buffer_copy(bytes(self._read(sizeof(kind))))
        left = int(head.channels) * int(head.number_of_samples) * WAVEFORM_SAMPLE
        while left:
            left -= len(self._read(min(left, _BLOCK)))

    def _read(self, count: int) -> memoryview:
        buffer = np.empty(count, np.uint8).data  # committed page by page, as the data arrive
        done = 0
        try:
            while done < count:
                got = self._link.recv_into(buffer[done:])
                if not got:
                    raise LostConnectionError("the client closed the connection before the session was over")
                done += got
        except TimeoutError:
            raise LostConnectionError(f"the client was silent for {self._link.gettimeout():g} s") from None
        except OSError as error:
            raise LostConnectionError(f"the connection broke: {error.strerror or error}") from None
        return buffer

    def _send(self, body: Any) -> None:
        try:
            self._link.sendall(body)
        except OSError as error:
            raise LostConnectionError(
                f"the client does not take the answer: {error.strerror or error}"
            ) from None


def _check_length(length: int, most: int, what: str) -> None:
    if length > most:
        raise InputError(f"{length} bytes, at most {most} are accepted", source=what)


def _decoded(body: bytes, what: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InputError("not UTF-8", source=what) from None


def _meta(package: Any, text: str) -> Any:
    try:
        return package.Meta.deserialize(text)
    except Exception:  # noqa: BLE001  the parser raises AssertionError, ParseError and AttributeError
        raise InputError("not the XML of MRD attributes", source="image", field="attributes") from None
