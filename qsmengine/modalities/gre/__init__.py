"""Gradient echoes: susceptibility, field and relaxation maps (QSM).

``MODALITY`` describes it, and the modules beside this one hold its session. Only the Python interface and the
command ``qsm`` use them directly.
"""
