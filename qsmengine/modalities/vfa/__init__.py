"""Spoiled gradient echoes at several flip angles (variable flip angle): R1, T1, R2* and proton density.

``MODALITY`` describes the modality; the other modules of this folder implement its session. Only the Python
interface and the command ``vfa`` use them directly.
"""
