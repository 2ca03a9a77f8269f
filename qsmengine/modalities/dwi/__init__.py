"""Diffusion-weighted images: tensor, kurtosis and free-water maps.

``MODALITY`` describes it, and the modules beside this one hold its session. Only the Python interface and the
command ``dti`` use them directly.
"""
