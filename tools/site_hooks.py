"""Hook of MkDocs: adds the generated pages to the site."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files

from tools.site_pages import generated_pages


def on_files(files: Files, *, config: Any) -> Files:
    """Add every generated page."""
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files
