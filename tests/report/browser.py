"""Pages measured in Chromium, without network."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SCRIPT = """
<script>
onload = () => {
  const found = [...document.querySelectorAll('iframe')].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    page.querySelectorAll('details').forEach(folded => folded.open = true);
    return {width: root.clientWidth, content: root.scrollWidth,
            images: [...page.images].map(image => [image.naturalWidth, image.alt.length]),
            unnamed: [...page.querySelectorAll('a')].filter(a => !a.textContent.trim()).length,
            broken: [...page.querySelectorAll('nav a')].filter(a => !page.querySelector(a.hash)).length,
            sticky: getComputedStyle(page.querySelector('nav')).position};
  });
  document.body.textContent = JSON.stringify(found);
};
</script>
"""


def measure(page: Path, widths: Iterable[int]) -> list[dict[str, Any]]:
    """Layout of a page at these widths; skipped without Chromium."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    frame = '<iframe src="{}" width="{}" height="800" frameborder="0"></iframe>'
    frames = "".join(frame.format(page.name, width) for width in widths)
    probe = page.with_name("probe.html")
    probe.write_text(f"<!doctype html><body>{frames}{SCRIPT}</body>", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run([program, *options, probe.as_uri()], capture_output=True, check=False)
    body = re.search(r"<body>(\[.*\])</body>", done.stdout.decode("utf-8", "replace"), re.DOTALL)
    if body is None:
        pytest.skip(f"Chromium does not run here: {done.stderr.decode('utf-8', 'replace')[-200:]}")
    return json.loads(html.unescape(body[1]))
