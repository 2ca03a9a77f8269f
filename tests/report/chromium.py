"""Pages in Chromium by Playwright: no network, faults of the page recorded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@contextmanager
def started() -> Iterator[Any]:
    """Start Chromium; skip the test where it or Playwright is absent."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as play:
        try:
            browser = play.chromium.launch(executable_path=program, args=list(OPTIONS))
        except api.Error as error:
            pytest.skip(f"Chromium does not run here: {str(error)[:200]}")
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, width: int = 1280, **options: Any) -> Iterator[Any]:
    """Open a page from its file; at the end it must have made no request and reported no error."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
    page, faults = context.new_page(), list[str]()
    page.set_default_timeout(30_000)
    page.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(f"request {request.url[:200]}"))
    page.goto(path.as_uri())
    yield page
    assert [fault for fault in faults if fault != f"request {path.as_uri()}"] == []
    context.close()
