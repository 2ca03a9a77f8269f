"""Session with one client: its choices, header and images in, maps out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from qsmengine.backend.device import Device
from qsmengine.backend.memory import free_pool
from qsmengine.errors import InputError
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.modalities.gre.sign_check import sign_notes
from qsmengine.pipeline.configuration.config import preset_names
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.scanner.header import Acquisition, read_acquisition
from qsmengine.scanner.images import answer
from qsmengine.scanner.parameters import Choice, parse_parameters
from qsmengine.scanner.series import Collection
from qsmengine.scanner.wire import Connection, Id, Image, Words

Say = Callable[[str], None]


@dataclass
class Session:
    """State of the conversation with a client.

    Parameters
    ----------
    connection
        The client.
    choice
        What is reconstructed unless the client chooses.
    device
        Device of the reconstruction.
    say
        Called with a line for the server's own log.
    progress
        Called with the progress of the reconstruction.
    """

    connection: Connection
    choice: Choice
    device: Device
    say: Say
    progress: ProgressCallback | None = None
    _facts: Acquisition | None = None
    _images: Collection = field(default_factory=Collection)

    def run(self) -> None:
        """Receive until the client closes, reconstruct, send the maps, close.

        Raises
        ------
        InputError, UsageError, DeviceError, OutOfMemoryError
            For what cannot be reconstructed; the caller tells the client.
        LostConnectionError
            If the client is gone.
        """
        while (message := self.connection.receive()) is not None:
            if isinstance(message, Image):
                self._images.add(message)
            else:
                self._words(message)
        self._reconstruct()
        self.connection.send_close()

    def _words(self, message: Words) -> None:
        if message.id == Id.HEADER:
            self._facts = read_acquisition(message.text)
        elif message.id == Id.CONFIG_FILE:
            if message.text in preset_names():
                self.choice = self.choice.changed({"preset": message.text})
        elif (given := parse_parameters(message.text)) is not None:
            self.choice = self.choice.changed(given)
            self.choice.config()

    def _reconstruct(self) -> None:
        if self._facts is None:
            raise InputError("not sent; echo times and field strength are needed", source="MRD header")
        received = self._images.finish(self._facts, self.choice.config().input)
        images, self._images = len(self._images), Collection()
        self.say(f"{images} images, {received.series.n_echoes} echoes, {received.series.grid.shape} voxels")
        start = time.perf_counter()
        try:
            result = run_qsm(received.series, self.choice.config(), self.device, progress=self.progress)
            notes = dict.fromkeys((*received.notes, *result.notes, *sign_notes(result)))
            for note in notes:
                self.say(f"note: {note}")
                self.connection.send_text(f"note: {note}")
            sent = 0
            for image in answer(result, received, self.choice):
                self.connection.send_image(image)
                sent += 1
        finally:
            free_pool(self.device)
        self.say(f"{sent} images sent, {time.perf_counter() - start:.1f} s after the last one arrived")
