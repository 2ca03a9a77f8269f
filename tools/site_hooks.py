"""Hooks of MkDocs: add the generated pages to the site and its navigation."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files

from tools.site_pages import complete, generated_pages


def on_config(config: Any) -> Any:
    """Complete the navigation."""
    config["nav"] = complete(config["nav"])
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add every generated page."""
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files
