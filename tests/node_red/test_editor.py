"""The files as people import them: one after the other, through the editor in a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.node_red.environment import FLOWS, NAMES, read
from tests.node_red.red import NodeRed
from tests.support.chromium import MISSING, Chromium


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.usefixtures("node_red")
def test_who_imports_one_after_the_other_in_the_editor_has_one_broker(tmp_path: Path):
    """From the second on the editor asks, since the broker is there already; README says what to choose."""
    with NodeRed(tmp_path, editor=True) as red, Chromium(1280, 800) as editor:
        _open(editor, red)
        for number, name in enumerate(NAMES):
            _import(editor, name, copy=number > 0)
            _assert_note_is_shown(editor, name)
        assert (
            editor.run(
                "const bad = []; RED.nodes.eachNode((n) => { if (!n.valid) bad.push(n.name) }); return bad"
            )
            == []
        )
        editor.run("RED.actions.invoke('core:deploy-flows')")
        editor.until("!RED.nodes.dirty()")
        _assert_complete(red.http.get("/flows").json())


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.parametrize(("name", "variable"), [("assist", "HA_TOKEN"), ("model", "MODEL_KEY")])
@pytest.mark.usefixtures("node_red")
def test_a_key_that_is_typed_into_the_tab_is_stored_encrypted_and_exported_by_nobody(
    tmp_path: Path, name: str, variable: str
):
    key = "typed-into-the-tab-77ab"
    with NodeRed(tmp_path, editor=True) as red, Chromium(1280, 800) as editor:
        _open(editor, red)
        _import(editor, name, copy=False)
        tab = read(name)[0]["id"]
        _set_variable(editor, tab, variable, key)
        before = _exported(editor)
        editor.run("RED.actions.invoke('core:deploy-flows')")
        editor.until("!RED.nodes.dirty()")
        assert red.http.get(f"/credentials/tab/{tab}").json() == {f"has_{variable}": True}
        for text in (before, _exported(editor), *(path.read_text() for path in tmp_path.glob("flows*.json"))):
            assert key not in text
        assert all(f'"{variable}"' in text for text in (before, _exported(editor)))


def _open(editor: Chromium, red: NodeRed) -> None:
    editor.open(red.url)
    editor.until("window.RED && RED.nodes && RED.nodes.registry.getNodeType('mqtt in')", 20)
    editor.until(
        "RED.workspaces.active() && RED.actions.list().some((a) => a.id === 'core:show-import-dialog')",
        20,
    )


def _set_variable(editor: Chromium, tab: str, name: str, value: str) -> None:
    """Types a value into the environment variables of a tab, as a person who double-clicks it."""
    editor.run("RED.editor.editFlow(RED.nodes.workspace(arguments[0]))", tab)
    editor.until("document.querySelector('.node-input-env-container-row input')")
    editor.run(
        """const list = $('.node-input-env-container-row ol.red-ui-editableList-list')
        const row = [...list.editableList('items')].map((item) => item.data('data')).find((data) => data.nameField.val() === arguments[0])
        row.valueField.typedInput('value', arguments[1])
        $('#node-dialog-ok').click()""",
        name,
        value,
    )
    editor.until("!document.querySelector('#node-dialog-ok')")


def _exported(editor: Chromium) -> str:
    """Returns what the export dialog gives of everything."""
    editor.run("RED.actions.invoke('core:show-export-dialog')")
    editor.until("document.querySelector('#red-ui-clipboard-dialog-export-tab-clipboard')?.offsetParent")
    editor.run("$('#red-ui-clipboard-dialog-export-rng-full').click()")
    editor.until("$('#red-ui-clipboard-dialog-export-text').val().length > 1000")
    text = str(editor.run("return $('#red-ui-clipboard-dialog-export-text').val()"))
    editor.run("$('#red-ui-clipboard-dialog-cancel').click()")
    editor.until("!document.querySelector('#red-ui-clipboard-dialog-export-tab-clipboard')?.offsetParent")
    return text


def _import(editor: Chromium, name: str, *, copy: bool) -> None:
    editor.run("RED.actions.invoke('core:show-import-dialog')")
    editor.until("document.querySelector('#red-ui-clipboard-dialog-import-text')?.offsetParent")
    editor.run(
        "$('#red-ui-clipboard-dialog-import-text').val(arguments[0]).trigger('keyup').trigger('input')",
        (FLOWS / f"{name}.json").read_text(),
    )
    editor.until("!$('#red-ui-clipboard-dialog-ok').button('option', 'disabled')")
    editor.run("$('#red-ui-clipboard-dialog-ok').click()")
    if copy:
        copy_button = "[...document.querySelectorAll('.red-ui-notification button')].find((b) => b.textContent === 'Import copy')"
        editor.until(f"Boolean({copy_button})")
        editor.run(f"{copy_button}.click()")
        editor.until(f"!{copy_button}")
    label = read(name)[0]["label"]
    editor.until(
        f"(() => {{ let there = false; RED.nodes.eachWorkspace((w) => {{ there ||= w.label === {label!r} }}); return there }})()"
    )


def _assert_note_is_shown(editor: Chromium, name: str) -> None:
    """Checks that the sidebar shows all words of the note; Node-RED has its own dialect of Markdown."""
    (note,) = [node["info"] for node in read(name) if node["type"] == "comment"]
    displayed = editor.run("return $('<div>').html(RED.utils.renderMarkdown(arguments[0])).text()", note)
    assert _words(displayed) == _words(note)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r"[*`]", "", text))


def _assert_complete(nodes: list[dict[str, Any]]) -> None:
    """Checks that each node exists once, and that all references lead to existing nodes."""
    ids = {node["id"] for node in nodes}
    (broker,) = [node for node in nodes if node["type"] == "mqtt-broker"]
    assert broker["protocolVersion"] == 5
    wanted = sorted(node["type"] for name in NAMES for node in read(name) if node["type"] != "mqtt-broker")
    imported = [node for node in nodes if node.get("label") != "Flow 1" and node["type"] != "mqtt-broker"]
    assert sorted(node["type"] for node in imported) == wanted
    for node in imported:
        assert node.get("broker", broker["id"]) == broker["id"], node
        assert {target for output_wires in node.get("wires", []) for target in output_wires} <= ids, node
        assert set(node.get("scope") or []) <= ids, node
