"""Pages of the site that are made when it is built: commands, API, contributing and changelog."""

from __future__ import annotations

import re
from typing import Any

from tools.api_pages import api_pages
from tools.commands import commands_page
from tools.markdown import ROOT

ROOT_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""File in the top folder -> page of the site."""


def generated_pages() -> dict[str, str]:
    """Return the text of every generated page by its path below docs/."""
    copies = {page: _below_docs((ROOT / name).read_text("utf-8")) for name, page in ROOT_PAGES.items()}
    return {"commands.md": commands_page(), **api_pages(), **copies}


def complete(navigation: Any) -> Any:
    """Return the navigation of the site with every page of the Python API in place of the entry "api"."""
    if navigation == "api":
        return list(api_pages())
    if isinstance(navigation, dict):
        return {title: complete(entry) for title, entry in navigation.items()}
    return [complete(entry) for entry in navigation] if isinstance(navigation, list) else navigation


def _below_docs(text: str) -> str:
    """Make links of a file in the top folder those of a page in docs/."""
    text = re.sub(r"\]\(docs/", "](", text)
    for name, page in ROOT_PAGES.items():
        text = text.replace(f"]({name})", f"]({page})")
    return text
