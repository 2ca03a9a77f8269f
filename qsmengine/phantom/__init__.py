"""Virtual heads: labels -> tissue -> gradient-echo and diffusion signals, together with the truth."""

from __future__ import annotations

from qsmengine.phantom.bids import write_bids
from qsmengine.phantom.head import VirtualHead, virtual_head
from qsmengine.phantom.scanner import Scanner

__all__ = ["Scanner", "VirtualHead", "virtual_head", "write_bids"]
