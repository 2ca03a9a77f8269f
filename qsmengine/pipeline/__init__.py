"""The engine of one session: settings, planning and running of stages, and files of derivatives.

``configuration`` reads settings, ``run`` plans and executes stages in memory, ``outputs`` writes maps with
provenance. Nothing here knows a modality by name; what is particular to one is in ``qsmengine.modalities``.
"""
