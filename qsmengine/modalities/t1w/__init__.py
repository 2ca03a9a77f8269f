"""T1-weighted images: brain mask, tissue fractions, deep grey matter and volumes.

``MODALITY`` describes the modality; the other modules of this folder implement its session. Only the Python
interface and the command ``anatomy`` use them directly.
"""
