"""Base of every method's parameters."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Params(BaseModel):
    """Frozen, validated parameters; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Margin = Annotated[float, Field(ge=0, description="zeros after the mask's box on every axis [mm]")]
"""Parameter of a convolution with a kernel that reaches out of the mask."""
