"""Checks the usability of a page in a real Chromium, without a library.

`findings` looks at contrast (WCAG 2.2 AA), names of controls, width, size of targets, language and headings.
`keyboard_findings` presses Tab through the whole page.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.chromium import Chromium

SCRIPT = Path(__file__).with_suffix(".js").read_text()
CONTROLS = "a[href], button, input:not([type=hidden]), textarea, select, summary, [tabindex='0']"
NAMED_ROLES = frozenset(
    {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "listbox", "timer", "img"}
)
TAB = "\ue004"

WATCH_FOCUS = f"""
const shown = [...document.querySelectorAll({CONTROLS!r})].filter(one => one.checkVisibility());
shown.forEach((one, number) => {{ one.dataset.control = number }});
// Tab goes on behind an element that was removed while it had the focus: here from the beginning of the page.
const start = document.createElement('span');
start.tabIndex = -1;
document.body.prepend(start);
start.focus();
start.remove();
window.focused = [];
document.addEventListener('keyup', () => {{
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  window.focused.push({{
    number: one.dataset.control ?? null,
    ring: one.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  }});
}});
return shown.map(one => one.outerHTML.slice(0, 120));
"""


def findings(browser: Chromium, language: str) -> list[str]:
    """Returns the faults of the page that the browser shows, which must be in `language`."""
    return [*browser.run(SCRIPT, language), *_nameless(browser)]


def keyboard_findings(browser: Chromium) -> list[str]:
    """Returns the controls that Tab does not reach, or whose focus is not visible."""
    controls: list[str] = browser.run(WATCH_FOCUS)
    browser.press(*[TAB] * (len(controls) + 1))
    reached: set[int] = set()
    wrong: list[str] = []
    for focused in browser.run("return window.focused"):
        if focused["number"] is None:  # the end of the page
            break
        number = int(focused["number"])
        if number in reached:
            break
        reached.add(number)
        if not focused["ring"]:
            wrong.append(f"focus is not visible: {controls[number]}")
        if not focused["inside"]:
            wrong.append(f"focus is outside of the window: {controls[number]}")
    missed = [number for number in range(len(controls)) if number not in reached]
    return wrong + [f"Tab does not reach: {controls[number]}" for number in missed]


def _nameless(browser: Chromium) -> list[str]:
    """Returns the controls without an accessible name, as the browser computes it."""
    nodes = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    return [
        f"name: a {node['role']['value']} has none"
        for node in nodes
        if not node["ignored"]
        and node.get("role", {}).get("value") in NAMED_ROLES - {"timer"}
        and not str(node.get("name", {}).get("value", "")).strip()
    ]
