"""Facts of the acquisition in the XML header of MRD: echo times and field strength."""

from __future__ import annotations

from dataclasses import dataclass

from qsmengine.data import check_echo_times
from qsmengine.errors import InputError
from qsmengine.scanner.wire import ismrmrd

SOURCE = "MRD header"


@dataclass(frozen=True)
class Acquisition:
    """Echo times [s], field strength [T], and vendor ("" if unknown)."""

    echo_times: tuple[float, ...]
    field_strength: float
    vendor: str = ""


def read_acquisition(xml: str) -> Acquisition:
    """Read the header.

    Raises
    ------
    InputError
        If it is not MRD's XML, or echo times or field strength are missing or impossible; the message names the
        element.
    """
    try:
        found = ismrmrd().xsd.CreateFromDocument(xml.encode())
    except Exception as error:  # noqa: BLE001  the parser's errors have no common class
        reason = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"not the XML of an MRD header: {reason[0]}", source=SOURCE) from None
    system, sequence = found.acquisitionSystemInformation, found.sequenceParameters
    strength = None if system is None else system.systemFieldStrength_T
    if strength is None:
        name = "acquisitionSystemInformation.systemFieldStrength_T"
        raise InputError("not found; the field strength [T] is needed", source=SOURCE, field=name)
    times = [] if sequence is None else list(sequence.TE)
    if not times:
        raise InputError(
            "not found; the echo times [ms] are needed", source=SOURCE, field="sequenceParameters.TE"
        )
    try:
        echo_times = check_echo_times(tuple(round(float(time) / 1000, 12) for time in times))
    except InputError as error:
        raise InputError(error.message, source=SOURCE, field="sequenceParameters.TE") from None
    return Acquisition(echo_times, float(strength), "" if system is None else system.systemVendor or "")
