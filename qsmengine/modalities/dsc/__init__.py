"""Bolus series (dynamic susceptibility contrast): blood volume, blood flow, and transit times.

``MODALITY`` describes the modality; the other modules of this folder implement its session. Only the Python
interface and the command ``dsc`` use them directly.
"""
