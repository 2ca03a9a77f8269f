"""Spin-echo trains: R2 and T2 with the transmit field of the refocusing pulses, and R2' from a map of R2*.

``MODALITY`` describes the modality; the other modules of this folder implement its session. Only the Python
interface and the command ``mese`` use them directly.
"""
