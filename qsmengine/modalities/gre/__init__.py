"""Gradient echoes: susceptibility, field and relaxation maps (QSM).

``MODALITY`` describes the modality; the other modules of this folder implement its session. Only the Python
interface and the command ``qsm`` use them directly.
"""
