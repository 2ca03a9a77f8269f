"""Server that holds one session after the other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from qsmengine.backend.device import Device, cpu
from qsmengine.backend.memory import available_memory
from qsmengine.errors import DeviceError, describe
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.scanner.parameters import Choice
from qsmengine.scanner.session import Session
from qsmengine.scanner.wire import Connection, LostConnectionError, ismrmrd

PORT = 9002
"""Port of MRD servers."""
IDLE = 120.0
"""Seconds of silence after which a client counts as lost."""
MEMORY_SHARE = 0.25
"""Fraction of the available memory that the images of a client may fill; the reconstruction needs the rest."""
MOST_IMAGES = 16 * 2**30
"""Limit of the images of a client [bytes], where the available memory is larger or unknown."""
WAITING = 8
"""Clients that may wait for their turn."""
_POLL = 0.2


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server.

    Parameters
    ----------
    choice
        What is reconstructed unless a client chooses.
    device
        Device of the reconstruction.
    host, port
        Address to listen on; port 0 takes a free one.
    idle
        Seconds of silence after which a client counts as lost.
    """

    choice: Choice
    device: Device
    host: str = "127.0.0.1"
    port: int = PORT
    idle: float = IDLE


class Server:
    """Server for MRD images; a context manager that listens while its block runs.

    Parameters
    ----------
    settings
        Address, device and defaults; the configuration is checked before the server listens.
    say
        Called with a line for each event.
    progress
        Called with the progress of a reconstruction.

    Raises
    ------
    UsageError
        For an invalid configuration.
    DeviceError
        If ismrmrd is not installed, or the address cannot be used.
    """

    def __init__(
        self, settings: ServerSettings, say: Callable[[str], None], progress: ProgressCallback | None = None
    ) -> None:
        ismrmrd()
        settings.choice.config()
        self._settings, self._say, self._progress = settings, say, progress
        try:
            self._listener = socket.create_server((settings.host, settings.port), backlog=WAITING)
        except OSError as error:
            place = f"{settings.host}:{settings.port}"
            raise DeviceError(f"cannot listen on {place}: {error.strerror or error}") from None
        self._listener.settimeout(_POLL)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on which the server listens."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def serve(self, stop: threading.Event) -> None:
        """Serve clients one after the other until `stop` is set; no error of a client ends the server."""
        while not stop.is_set():
            try:
                link, peer = self._listener.accept()
            except TimeoutError:
                continue
            with link:
                self._say(f"client {peer[0]}:{peer[1]}")
                self._serve_one(link)

    def _serve_one(self, link: socket.socket) -> None:
        connection = Connection(link, room=_room(), idle=self._settings.idle)
        settings = self._settings
        try:
            Session(connection, settings.choice, settings.device, self._say, self._progress).run()
        except LostConnectionError as error:
            self._say(f"lost: {error}")
        except Exception as error:  # noqa: BLE001  the next client is served whatever this one caused
            reason = describe(error)[0]
            self._say(f"refused: {reason}")
            connection.refuse(f"error: {reason}")


def _room() -> int:
    have = available_memory(cpu())
    return MOST_IMAGES if have is None else min(MOST_IMAGES, int(have * MEMORY_SHARE))
