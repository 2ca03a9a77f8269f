"""Committed pages of measurements contain the sentences of the programs that write them."""

from __future__ import annotations

import ast
import re

import pytest

from tools.markdown import ROOT

WRITERS = {
    "docs/gpu.md": "bench/gpu_model/document.py",
    "docs/performance.md": "bench/qsm/document.py",
    "docs/qsm-accuracy.md": "bench/accuracy/document.py",
}
LONG = 60
"""Shorter strings are table heads and keys."""


def sentences(source: str) -> list[str]:
    """Return the long constant strings of a module, docstrings left out, cut at their placeholders."""
    tree = ast.parse(source)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone
    ]
    return [
        part for text in texts if len(text) > LONG for part in re.split(r"\{[^{}]*\}", text) if part.strip()
    ]


@pytest.mark.parametrize("page", WRITERS)
def test_committed_page_has_the_sentences_of_its_writer(page: str) -> None:
    found = sentences((ROOT / WRITERS[page]).read_text("utf-8"))
    text = (ROOT / page).read_text("utf-8")
    assert found
    assert not [part for part in found if part.strip() not in text]


def test_paths_in_the_documents_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = re.compile(r"`((?:bench|docker|docs|kernels|qsmengine|tests|tools)/[\w./-]+)`")
    missing = {
        f"{page.name}: {path}"
        for page in pages
        for path in named.findall(page.read_text("utf-8"))
        if not (ROOT / path).exists() and not re.search(r"NAME|DATE|STAGE", path)
    }
    assert not missing
