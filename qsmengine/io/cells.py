"""Protection of table cells that spreadsheet programs may open.

A spreadsheet evaluates a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return as a
formula (https://owasp.org/www-community/attacks/CSV_Injection). An apostrophe in front makes it text.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"[=+\-@\t\r]")


def guard(text: str) -> str:
    """Return the text with an apostrophe in front if a spreadsheet would evaluate it; numbers are unchanged."""
    if not _FORMULA.match(text):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def unguard(text: str) -> str:
    """Return the text without the apostrophe that :func:`guard` put in front."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text, 1) else text
