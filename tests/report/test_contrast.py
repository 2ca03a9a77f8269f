"""Every visible text of the pages has the contrast of WCAG AA, and every control a name; dark and light."""

from __future__ import annotations

import pytest

from tests.report.axe import audit
from tests.report.chromium import opened, started
from tests.report.test_layout import cohort_page, out, session_page

__all__ = ["out"]  # the fixture
MEASURE = """() => {
  const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  document.querySelectorAll("details").forEach(folded => folded.open = true);
  const faint = [];
  let count = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.getClientRects().length) continue;
    if (node.closest("script, title, :disabled")) continue;
    const style = getComputedStyle(node), drawn = node.namespaceURI.endsWith("svg");
    const colour = parse(drawn ? style.fill : style.color);
    const [low, high] = [light(colour), light(ground(node))].sort((a, b) => a - b);
    count += 1;
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(walker.currentNode.textContent);
  }
  const named = node => node.labels && node.labels.length || node.getAttribute("aria-label") ||
    node.textContent.trim();
  const controls = [...document.querySelectorAll("button, input, select, a")];
  return {faint, count, unnamed: controls.filter(node => !named(node)).map(node => node.outerHTML)};
}"""


@pytest.fixture(scope="module")
def browser():
    with started() as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("make", [session_page, cohort_page])
def test_texts_are_legible_and_controls_named(out, browser, make, scheme):
    with opened(browser, make(out), color_scheme=scheme) as shown:
        found = shown.evaluate(MEASURE)
    assert found["count"] > 40
    assert found["faint"] == []
    assert found["unnamed"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("make", [session_page, cohort_page])
def test_axe_finds_no_violation_of_wcag_aa(out, browser, make, scheme):
    with opened(browser, make(out), color_scheme=scheme) as shown:
        found = audit(shown)
    assert found["violations"] == []
    assert {"color-contrast", "html-has-lang", "link-name"} <= set(found["passes"])
