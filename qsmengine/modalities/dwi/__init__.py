"""Diffusion-weighted images: tensor, kurtosis and free-water maps.

``MODALITY`` describes the modality; the other modules of this folder implement its session. Only the Python
interface and the command ``dti`` use them directly.
"""
