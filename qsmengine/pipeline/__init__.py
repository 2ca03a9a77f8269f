"""Processing of one session: settings, planning and execution of stages, and derivative files.

``configuration`` reads settings, ``run`` plans and executes stages in memory, ``outputs`` writes maps with
provenance. Nothing here names a modality; modality-specific code is in ``qsmengine.modalities``.
"""
