"""Libraries of others that pages contain, with their licences."""

from __future__ import annotations

import gzip
import hashlib
from importlib import resources

from qsmengine.errors import InputError

NIIVUE = "niivue-0.69.0.umd.js.gz"
NIIVUE_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
"""SHA-256 of the script, uncompressed: that of dist/niivue.umd.js in the published package."""


def niivue() -> str:
    """Return the script of NiiVue 0.69.0 (BSD-2-Clause), a viewer of volumes.

    Raises
    ------
    InputError
        If the file is not the published one.
    """
    file = resources.files("qsmengine.report.vendor") / NIIVUE
    script = gzip.decompress(file.read_bytes())
    if hashlib.sha256(script).hexdigest() != NIIVUE_SHA256:
        raise InputError("does not have the checksum of the published file", source=NIIVUE)
    return script.decode("utf-8")
