"""Gradient echoes: susceptibility, field and relaxation maps (QSM).

``description`` holds ``MODALITY`` and ``command`` the declaration of ``qsmengine qsm``; the other modules
implement the session. Only the Python interface, the commands and the demonstration use them directly.
"""
