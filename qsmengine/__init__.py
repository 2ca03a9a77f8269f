"""qsmengine: quantitative susceptibility mapping and diffusion reconstruction on GPU and CPU."""

from __future__ import annotations

__version__ = "0.1.0"
