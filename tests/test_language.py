"""Plain English: phrases of a translated-sounding voice that texts must not contain.

The tests check documents, page templates, presets, and the docstrings, comments and messages of the code. A
package is checked once its docstrings have been rewritten: add it to `PACKAGES`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "bench",
    "qsmengine/cli",
    *(f"qsmengine/{name}" for name in ("api", "cohort", "io", "modalities", "pipeline", "sessions")),
    *(f"qsmengine/{name}" for name in ("backend", "ops", "phantom", "solvers", "stages")),
    "tools",
    *(
        f"tests/{name}"
        for name in ("api", "bench", "docker", "examples", "ops", "phantom", "pipeline", "report")
    ),
    *(f"tests/{name}" for name in ("sessions", "solvers", "tools")),
    *(f"qsmengine/{name}" for name in ("demo_data", "report", "stats", "studies")),
)
"""Folders whose docstrings and comments are checked."""

BANNED = {
    r"mend(s|ed|ing)?": "correct, repair",
    r"bears?": "tolerate, is robust to",
    r"no numbers": "non-finite values",
    r"(tells?|told|telling)": "report, show, describe",
    r"(is|are|was) said": "is reported",
    r"beside": "next to, in addition to",
    r"at all": "leave it out",
    r"(of|by) (its|their) (own|self|selves)|by (itself|themselves)": "separate, alone, automatically",
    r"(take[ns]?|taking|took) off": "subtract, remove",
    r"put back": "restore",
    r"(go|goes|went|going) on": "continue, resume",
    r"hardly": "barely, or a number",
    r"exceeds? its \w+ nowhere": "is nowhere above",
    r"one an? (echo|gpu|job|file|worker|session|device|participant|row)": "one per",
    r"but for the": "except for the",
    r"brought up to date": "updated",
    r"as (it is|they are) met": "if present",
    r"come(s)? right": "is correct",
    r"do(es)? (its|their|all \w+) set-up": "set up",
    r"the other way round": "reversed",
    r"not there yet": "limitations",
    r"(stands?|stood) (in|at|beside|between) (the|two|one|its|their)": "is in, appears in",
    r"of (so|as) many": "of N",
    r"what (this|it) says": "conclusions",
    r"by hand": "manually",
}
PHRASES = [(re.compile(rf"\b{words}\b", re.IGNORECASE), instead) for words, instead in BANNED.items()]
OPENING = re.compile(r"(What|Where|Who|Whose|How|Which)\b(?!.*\?)")
NAMES = re.compile(r"\b[A-Z][A-Z_]{2,}\b")
CODE = re.compile(r"^ *```.*?^ *```|``[^`]*``|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def faults(text: str) -> list[str]:
    """Return the banned phrases of a text, code left out."""
    words = re.sub(r"\s+", " ", CODE.sub("", text))
    return [f"{match[0]!r}: {instead}" for pattern, instead in PHRASES for match in pattern.finditer(words)]


def docstrings(source: str) -> Iterator[str]:
    """Yield every string that stands alone: docstrings of modules, classes, functions, and constants."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.value


def comments(source: str) -> str:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join(token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)


def messages(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string with words that is not a docstring; ... replaces values."""
    tree = ast.parse(source)
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):  # an f-string comes before its parts
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in node.values}
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            text = node.value
        else:
            continue
        if " " in text:
            yield node.lineno, text


def texts() -> list[str]:
    """The texts of the package outside its code: page templates, sentences, presets."""
    kinds = (".html", ".yaml", ".md")
    paths = (path for path in (ROOT / "qsmengine").rglob("*") if path.suffix in kinds)
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def pages() -> list[str]:
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(p.relative_to(ROOT).as_posix() for p in paths)


def kernel_sources() -> list[str]:
    """All sources of kernels and of the emulator that runs them, those of tests included."""
    folders = ("kernels", "bench/emulator/runtime", "tests/emulator", "tests/kernels")
    paths = (path for folder in folders for path in (ROOT / folder).iterdir())
    return sorted(p.relative_to(ROOT).as_posix() for p in paths if p.suffix in {".cpp", ".cu", ".h"})


def kernel_comments(source: str) -> Iterator[str]:
    """Yield the comments of C++ text without names of macros, consecutive lines as one."""
    lines = [line.partition("//")[2].strip() if "//" in line else None for line in source.splitlines()]
    for is_comment, group in groupby(lines, key=lambda line: line is not None):
        if is_comment:
            yield NAMES.sub("", "\n".join(line for line in group if line))


def modules() -> list[str]:
    return sorted(p.relative_to(ROOT).as_posix() for name in PACKAGES for p in (ROOT / name).rglob("*.py"))


@pytest.mark.parametrize("name", pages())
def test_documents_are_plain_english(name: str) -> None:
    assert not faults((ROOT / name).read_text("utf-8"))


@pytest.mark.parametrize("name", texts())
def test_texts_of_the_package_are_plain_english(name: str) -> None:
    assert not faults((ROOT / name).read_text("utf-8"))


@pytest.mark.parametrize("name", kernel_sources())
def test_comments_of_kernels_are_plain_english(name: str) -> None:
    found = []
    for text in kernel_comments((ROOT / name).read_text("utf-8")):
        found += faults(text)
        if OPENING.match(text):
            found.append(f"{text.splitlines()[0]!r}: open with what the thing is or does")
    assert not found


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("qsmengine/")])
def test_messages_are_plain_english(name: str) -> None:
    found = {line: faults(text) for line, text in messages((ROOT / name).read_text("utf-8"))}
    assert not {line: phrases for line, phrases in found.items() if phrases}


@pytest.mark.parametrize("name", modules())
def test_docstrings_and_comments_are_plain_english(name: str) -> None:
    source = (ROOT / name).read_text("utf-8")
    found = faults(comments(source))
    for text in docstrings(source):
        found += faults(text)
        if OPENING.match(text):
            found.append(f"{text.splitlines()[0]!r}: open with what the thing is or does")
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "B0 directions come right from oblique affines.",
        "Both do all their set-up.",
        "Inversions that bear wrong voxels.",
        "Values that are no numbers\nare refused.",
        "The smooth phase is taken off before and put back after.",
        "A sidecar that does not tell its unit.",
    ],
)
def test_the_old_voice_is_found(text: str) -> None:
    assert faults(text)


def test_messages_are_found_in_f_strings_and_calls_only() -> None:
    source = (
        '''"""A module beside others."""\nraise ValueError(f"{path} stands in the {n} rows", "told again")\n'''
    )
    assert [text for _, text in messages(source)] == ["... stands in the ... rows", "told again"]


def test_consecutive_comment_lines_of_kernels_are_one_text() -> None:
    source = "// The sum of all\n// voxels.\nint n;\nint m;  // LANES per block\n"
    assert list(kernel_comments(source)) == ["The sum of all\nvoxels.", " per block"]


def test_code_is_left_out_and_openings_are_found() -> None:
    assert not faults("Use `tell` here.\n\n```sh\nbear --beside\n```\n")
    assert OPENING.match("What decides a step's results, as one number")
    assert not OPENING.match("What is the default?")
    assert not OPENING.match("Whole mask")
