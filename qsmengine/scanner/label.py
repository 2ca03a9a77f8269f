"""Image label of Open Recon: what a scanner's host computer must know about the server in a container image."""

from __future__ import annotations

import math
from typing import Any

from qsmengine.grid import Grid
from qsmengine.modalities.gre.stages import plan_qsm
from qsmengine.scanner.parameters import PARAMETERS, Choice, Parameter
from qsmengine.scanner.server import PORT

PROTOCOL = "1.4.1"
"""Version of the protocol that Open Recon speaks."""
_CORES = 4
_LARGE = Grid.from_voxel_size((256, 256, 160), (0.8, 0.8, 1.0), field_strength=3.0)
_ECHOES = 5


def openrecon_label(version: str) -> dict[str, Any]:
    """Return the label for a version; its resources suffice for five echoes of 256 x 256 x 160 voxels."""
    plan = plan_qsm(Choice().config(), _LARGE, _ECHOES, has_mask=False, has_labels=False, has_r2=False)
    memory = math.ceil(plan.memory / 2**30) * 1024
    information = "Susceptibility, R2*, uncertainty and SWI from magnitude and phase of gradient echoes"
    return {
        "general": {
            "name": {"en": "qsmengine"},
            "version": version,
            "vendor": "qsmengine",
            "information": {"en": information},
            "id": "qsmengine",
            "regulatory_information": {
                "device_trade_name": "qsmengine",
                "production_identifier": version,
                "manufacturer_address": "",
                "made_in": "",
                "manufacture_date": "",
                "material_number": f"qsmengine_{version}",
                "gtin": "",
                "udi": "",
                "safety_advices": "Research only, not for diagnosis",
                "special_operating_instructions": "Save magnitude and phase images of all echoes",
                "additional_relevant_information": "",
            },
        },
        "reconstruction": {
            "transfer_protocol": {"protocol": "ISMRMRD", "version": PROTOCOL},
            "port": PORT,
            "emitter": "image",
            "injector": "image",
            "can_process_adjustment_data": False,
            "can_use_gpu": True,
            "min_count_required_gpus": 0,
            "min_required_gpu_memory": memory,
            "min_required_memory": 2 * memory,
            "min_count_required_cpu_cores": _CORES,
            "content_qualification_type": "RESEARCH",
        },
        "parameters": [_entry(parameter) for parameter in PARAMETERS],
    }


def _entry(parameter: Parameter) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": parameter.name, "label": {"en": parameter.label}}
    if parameter.values is None:
        entry["type"] = "boolean"
    else:
        entry["type"] = "choice"
        entry["values"] = [{"id": value, "name": {"en": value}} for value in parameter.values]
    default = getattr(Choice(), parameter.name)
    return {**entry, "default": default, "information": {"en": parameter.information}}
