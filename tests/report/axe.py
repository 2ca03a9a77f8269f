"""Audit of a page by axe-core 4.14.1 (MPL-2.0, ``vendor/LICENSE.axe``): WCAG 2.1, levels A and AA, and more."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js.gz"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
"""SHA-256 of the script, uncompressed: that of axe.min.js in the published package."""
RUN = """async () => {
  document.querySelectorAll("details").forEach(folded => folded.open = true);
  const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
  const found = await axe.run(document, {runOnly: rules});
  return {passes: found.passes.map(rule => rule.id), violations: found.violations.map(
    rule => `${rule.id}: ${rule.help}: ${rule.nodes.slice(0, 3).map(node => node.html).join(" | ")}`)};
}"""


@cache
def script() -> str:
    """The library, checked against its checksum."""
    text = gzip.decompress(SCRIPT.read_bytes())
    assert hashlib.sha256(text).hexdigest() == SHA256
    return text.decode("utf-8")


def audit(page: Any) -> dict[str, list[str]]:
    """Names of the rules that a Playwright page passes, and descriptions of those that it violates."""
    page.evaluate(script())
    return page.evaluate(RUN)
