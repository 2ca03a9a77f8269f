"""Pages and links of the site, and what its pages say about commands, options, and messages."""

from __future__ import annotations

import ast
import json
import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import qsmengine
from qsmengine.cli.bids.arguments import ARGUMENTS
from qsmengine.cli.lazy import load_command
from qsmengine.cli.listing import COMMANDS
from tools import tutorial
from tools.api_pages import api_pages
from tools.markdown import DOCS, ROOT
from tools.site_pages import complete, generated_pages

SITE = ROOT / "tools" / "mkdocs.yml"
LINK = re.compile(r"(?<!`)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


@cache
def pages() -> dict[str, str]:
    written = {p.relative_to(DOCS).as_posix(): p.read_text("utf-8") for p in DOCS.rglob("*.md")}
    return written | generated_pages()


def nav_entries(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    values = node.values() if isinstance(node, dict) else node
    return [entry for value in values for entry in nav_entries(value)]


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as Python-Markdown and GitHub make them."""
    found = set()
    for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        if heading := re.match(r"#+ +(.*)", line):
            words = re.sub(r"[^\w\s-]", "", re.sub(r"[`*\\]", "", heading[1])).strip().lower()
            found.add(re.sub(r"[-\s]+", "-", words))
    return found


def broken_links(name: str, text: str, known: dict[str, str], folder: Path) -> list[str]:
    broken = []
    for target in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        where = name if not path else Path(*_normal((Path(name).parent / path).parts)).as_posix()
        exists = where in known or (folder / where).is_file()
        if not exists or (anchor and where in known and anchor not in anchors(known[where])):
            broken.append(f"{name}: {target}")
    return broken


def _normal(parts: tuple[str, ...]) -> list[str]:
    done: list[str] = []
    for part in parts:
        if part == ".." and done and done[-1] != "..":
            done.pop()
        else:
            done.append(part)
    return done


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    entries = nav_entries(complete(yaml.safe_load(SITE.read_text("utf-8"))["nav"]))
    assert len(entries) == len(set(entries))
    assert set(entries) == set(pages())


def test_every_internal_link_and_anchor_resolves() -> None:
    broken = [link for name, text in pages().items() for link in broken_links(name, text, pages(), DOCS)]
    assert not broken


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_of_the_top_folder_resolve(name: str) -> None:
    files = {f"docs/{page}": text for page, text in pages().items() if (DOCS / page).is_file()}
    files |= {p.name: p.read_text("utf-8") for p in ROOT.glob("*.md")}
    assert not broken_links(name, files[name], files, ROOT)


@pytest.mark.parametrize(
    ("text", "count"),
    [("[a](missing.md)", 1), ("[a](faq.md#no-such-heading)", 1), ("[a](faq.md#messages)", 0), ("`[a](b)`", 0)],
)
def test_a_broken_link_is_found(text: str, count: int) -> None:
    assert len(broken_links("index.md", text, pages(), DOCS)) == count


def test_api_pages_name_objects_that_exist() -> None:
    names = [name for text in api_pages().values() for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]
    assert len(names) > 50
    for name in names:
        try:
            import_module(name)
        except ImportError:
            module, _, attribute = name.rpartition(".")
            assert hasattr(import_module(module), attribute), name


def command_lines() -> list[tuple[str, list[str]]]:
    """Words of every qsmengine command in a shell block of the pages, with the page."""
    texts = pages() | {"README.md": (ROOT / "README.md").read_text("utf-8")}
    lines = []
    for name, text in texts.items():
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] in {"qsmengine", "qsmengine-bids"}:
                    lines.append((name, words))
    return lines


def known_options() -> dict[str, set[str]]:
    known = {name: {o for p in load_command(name).params for o in p.opts} for name in COMMANDS}
    known["--version"] = set()
    return known


def test_commands_and_options_in_shell_blocks_exist() -> None:
    known, flags = known_options(), {flag for argument in ARGUMENTS for flag in argument.flags}
    wrong, count = [], 0
    for page, (program, command, *words) in command_lines():
        count += 1
        allowed = flags if program == "qsmengine-bids" else known.get(command)
        options = {re.split("=", w)[0] for w in words if re.match(r"--?[a-zA-Z]", w)}
        if allowed is None or not options - {"--help", "-h"} <= allowed:
            wrong.append(f"{page}: {program} {command} {sorted(options - (allowed or set()))}")
    assert not wrong
    assert count > 30


def message_texts() -> list[str]:
    """Every string of the package, with the parts that vary as an ellipsis."""
    texts = []
    for path in (ROOT / "qsmengine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "\u2026" for v in node.values]
                texts.append("".join(str(part) for part in parts))
    return texts


def test_messages_quoted_in_the_questions_are_in_the_package() -> None:
    quoted = re.findall(r"^### `(.*)`$", pages()["faq.md"], re.MULTILINE)
    texts = message_texts()
    assert len(quoted) > 10
    for message in quoted:
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in message.split("\u2026")), re.DOTALL)
        assert any(pattern.search(text) for text in texts), message


def test_modality_of_the_how_to_page_is_the_tested_one() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", pages()["howto/add-a-modality.md"], re.MULTILINE | re.DOTALL)
    tested = [path.read_text("utf-8") for path in (ROOT / "tests/modalities/toy").glob("*.py")]
    assert blocks
    for block in blocks:
        assert any(block in text for text in tested)


def test_citation_files_carry_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == qsmengine.__version__
    deposit = json.loads((ROOT / ".zenodo.json").read_text("utf-8"))
    assert deposit["title"] == citation["title"]
    assert deposit["license"] == citation["license"]


def test_hosted_workflow_runs_the_projects_own_checks() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(path.read_text("utf-8"))


@pytest.mark.slow
def test_commands_of_the_tutorial_write_what_it_names(tmp_path: Path) -> None:
    output = tutorial.run(tmp_path)
    assert "1 sessions: 1 done" in output
    for name in ("brain/Chimap.nii.gz", "maps/index.html", "maps/logs/CITATION.md", "tensor/brain_RGB.nii.gz"):
        assert (tmp_path / name).is_file(), name
    assert (tmp_path / "maps/sub-01/anat/sub-01_desc-dgm_stats.tsv").is_file()
    score = re.search(r"nrmse +\S+ +(\S+) %", output)
    assert score is not None
    assert float(score[1]) < 40.0
    tutorial.draw(tmp_path, tmp_path)
    assert (tmp_path / "tutorial-head.png").is_file()


def test_a_command_of_the_tutorial_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\necho first\nqsmengine no-such-command\n```\n")
    monkeypatch.setattr(tutorial, "PAGE", page)
    with pytest.raises(tutorial.TutorialError, match="first"):
        tutorial.run(tmp_path)


def test_every_picture_is_shown_on_a_page():
    texts = [*pages().values(), (ROOT / "README.md").read_text("utf-8")]
    shown = {name for text in texts for name in re.findall(r"images/([\w-]+\.png)", text)}
    assert shown == {path.name for path in (DOCS / "images").iterdir()}
