"""Diffusion-weighted images: tensor, kurtosis and free-water maps.

``description`` holds ``MODALITY`` and ``command`` the declaration of ``qsmengine dti``; the other modules
implement the session. Only the Python interface, the commands and the demonstration use them directly.
"""
