"""The flows of deploy/node-red are what they claim to be, as far as it can be seen without running them."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.rows import every_row
from wx2mqtt.mqtt.topics import TOPIC_TABLE

FOLDER = Path(__file__).parents[2] / "deploy" / "node-red"
FILES = sorted(FOLDER.glob("*.json"))
FLOWS = {path.stem: json.loads(path.read_text()) for path in FILES}
NODES = [node for flow in FLOWS.values() for node in flow]
FUNCTIONS = [node for node in NODES if node["type"] == "function"]

BEGIN = {"comment", "inject", "mqtt in", "http in", "status", "catch"}
GO_ON = {"function", "change", "http request"}
END = {"mqtt out", "http response", "debug"}
NOT_WIRED = {"tab", "group", "mqtt-broker"}
CORE = BEGIN | GO_ON | END | NOT_WIRED
"""Types of nodes that are used, all of which come with Node-RED."""

CHINESE = re.compile(r"[\u4e00-\u9fff]")
each = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)


def of_type(nodes, *types):
    return [node for node in nodes if node["type"] in types]


def single_node(nodes, kind):
    (node,) = of_type(nodes, kind)
    return node


def is_known(topic):
    """Returns whether the bridge knows such a topic; `+`, `${…}` and an open end stand for any level."""
    concrete = re.sub(r"\$\{[^}]+\}|\+|(?<=/)$", "any", topic)
    patterns = [*(known.pattern for known in TOPIC_TABLE), "out/<user>/image"]
    return any(re.fullmatch("wx/" + re.sub("<[^>]+>", "[^/]+", pattern), concrete) for pattern in patterns)


def test_who_imports_a_flow_finds_themselves_in_it_on_ilink():
    people = {
        (name, setting["name"]): setting["value"]
        for name, flow in FLOWS.items()
        for node in of_type(flow, "tab")
        for setting in node["env"]
        if setting["name"] in {"PERSON", "PEOPLE", "FIRST"}
    }
    assert len(people) == 9
    anybody = {key for key, value in people.items() if not value}  # of those who are trusted
    assert anybody == {("assist", "PEOPLE"), ("model", "PEOPLE")}
    assert {people[key] for key in people.keys() - anybody} == {"me"}


def test_there_are_at_least_eleven():
    assert len(FLOWS) >= 11


@every_row("path", FILES)
def test_a_file_is_written_as_node_red_exports_it(path):
    text = path.read_text()
    assert text == json.dumps(json.loads(text), indent=4, ensure_ascii=False) + "\n"


def test_ids_are_generated_and_no_two_nodes_share_one_but_for_the_broker():
    ids = Counter(node["id"] for node in NODES)
    assert all(re.fullmatch(r"[0-9a-f]{16}", one_id) for one_id in ids)
    shared = {one_id for one_id, count in ids.items() if count > 1}
    assert shared == {node["id"] for node in of_type(NODES, "mqtt-broker")}
    assert len(shared) == 1


def test_the_broker_is_the_same_everywhere_and_speaks_mqtt_5():
    first, *others = [single_node(flow, "mqtt-broker") for flow in FLOWS.values()]
    assert all(other == first for other in others)
    assert (first["protocolVersion"], first["cleansession"], first["clientid"]) == (5, True, "")


def test_only_nodes_that_come_with_node_red():
    assert {node["type"] for node in NODES} <= CORE


def test_nothing_secret_and_no_module_of_others():
    for node in NODES:
        assert not {"credentials", "user", "password"} & node.keys(), node
        assert not node.get("tls"), node
    for node in FUNCTIONS:
        assert node["libs"] == []
        assert not re.search(r"\brequire\b|\bimport\b|(?<!/)\bprocess\b|global\.get", node["func"]), node[
            "name"
        ]


def test_keys_of_servers_are_credentials_that_no_message_ever_holds():
    """Node-RED encrypts them and exports none. One node sends each, in a header of its own."""
    secrets = {"assist": "HA_TOKEN", "model": "MODEL_KEY"}
    for name, secret in secrets.items():
        tab = single_node(FLOWS[name], "tab")
        assert [entry for entry in tab["env"] if entry["type"] == "cred"] == [
            {"name": secret, "type": "cred"}
        ]
        group, request = single_node(FLOWS[name], "group"), single_node(FLOWS[name], "http request")
        assert (request["g"], group["nodes"]) == (group["id"], [request["id"]])
        assert secret in group["env"][0]["value"]
        assert [header["valueValue"] for header in request["headers"]] == ["${AUTHORIZATION}"]
        code = "".join(node["func"] for node in of_type(FLOWS[name], "function"))
        reads = [line for line in code.splitlines() if f"'{secret}'" in line]
        assert all(line.startswith("if (") and "statusCode: 'unset'" in line for line in reads), reads


def test_assist_and_model_have_the_same_guards_and_the_same_order():
    for name in ("the guards", "not sent?"):
        assist, model = (
            next(node["func"] for node in FLOWS[flow] if node.get("name") == name)
            for flow in ("assist", "model")
        )
        assert assist.replace("assist-", "model-") == model


@each
def test_all_nodes_stand_on_the_tab_of_their_file_and_wires_lead_to_nodes_that_take_them(flow):
    tab = single_node(flow, "tab")
    inside = {node["id"]: node for node in flow if node["type"] not in NOT_WIRED}
    assert {node["z"] for node in inside.values()} == {tab["id"]}
    reached = set()
    for node in inside.values():
        exits = node["wires"]
        assert len(exits) == node.get("outputs", 0 if node["type"] in {*END, "comment"} else 1), node["name"]
        reached |= {target for exit_ in exits for target in exit_}
        assert set(node.get("scope", [])) <= inside.keys()
    takers = {node["id"] for node in of_type(inside.values(), *GO_ON, *END)}
    assert reached == takers, [inside[lost]["name"] for lost in reached ^ takers]


@each
def test_a_comment_says_in_both_languages_what_to_change(flow):
    comment = single_node(flow, "comment")
    english, chinese = comment["name"].split(" · ")
    assert not CHINESE.search(english)
    assert len(CHINESE.findall(chinese)) > 5
    first, second = comment["info"].split("\n\n")
    assert not CHINESE.search(re.sub("`[^`]+`", "", first))
    assert CHINESE.search(second)
    assert CHINESE.search(single_node(flow, "tab")["info"])
    names_by_language = [{*re.findall(r"\*\*([A-Z_]+)\*\*", paragraph)} for paragraph in (first, second)]
    assert (
        names_by_language[0]
        == names_by_language[1]
        <= {entry["name"] for entry in single_node(flow, "tab")["env"]}
    )


@each
def test_a_note_is_shown_as_it_is_written(flow):
    """The sidebar shows a backslash as it is, and makes a definition list of `:…(…)…:`, which loses text."""
    comment = single_node(flow, "comment")
    assert "\\" not in comment["name"] + comment["info"]
    assert re.findall(r"(?m)^:.*|:[^:\n]+\([^:\n]+\).*?:", comment["info"]) == []


@each
def test_a_note_says_where_the_settings_of_its_tab_are(flow):
    """They are behind a list icon that has no name until somebody points at it."""
    english, chinese = single_node(flow, "comment")["info"].split("\n\n")
    is_set = bool(single_node(flow, "tab")["env"])
    assert english.startswith("**Settings.** Double-click this tab, then the list icon") is is_set
    assert chinese.startswith("**设置方法**：双击此标签页，再点右上角的列表图标") is is_set


@each
def test_what_can_be_set_on_the_tab_is_used_and_what_is_used_can_be_set(flow):
    text = json.dumps(flow)
    read = r"(?:env\.get|setting|list)\('([A-Z_]+)'\)", r"\$\{([A-Z_]+)\}", r"\$env\(\\\"([A-Z_]+)\\\"\)"
    used = {name for pattern in read for name in re.findall(pattern, text)}
    assert used == {entry["name"] for node in of_type(flow, "tab", "group") for entry in node["env"]}


def test_topics_are_those_of_the_bridge():
    received = {node["topic"] for node in of_type(NODES, "mqtt in")}
    topics_in_code = {
        topic for node in FUNCTIONS for topic in re.findall(r"[`'](wx/[^`']+)[`']", node["func"])
    }
    assert len(topics_in_code) > 5
    assert [
        topic for topic in received | topics_in_code if topic.startswith("wx/") and not is_known(topic)
    ] == []


def test_the_rights_in_deploy_mosquitto_are_enough_for_all_of_them():
    acl = (FOLDER.parent / "mosquitto" / "acl").read_text().replace("@BASE@", "wx")
    rights = re.findall(
        r"(?m)^topic (read|write|readwrite) (\S+)$", acl.split("user node-red\n")[1].split("\nuser ")[0]
    )

    def may(do, topic):
        forms = [
            re.escape(form).replace(r"\+", "[^/]+").replace(r"/\#", "(/.*)?")
            for how, form in rights
            if do in how
        ]
        concrete = re.sub(r"\$\{[^}]+\}|\+", "any", topic)
        return any(re.fullmatch(form, concrete) for form in forms)

    topics = {topic for node in FUNCTIONS for topic in re.findall(r"topic: [`']([^`']+)[`']", node["func"])}
    assert [topic for topic in topics if not topic.startswith("wx/in/") and not may("write", topic)] == []
    assert [node["topic"] for node in of_type(NODES, "mqtt in") if not may("read", node["topic"])] == []


def test_another_base_topic_can_be_put_in_by_replacing_text():
    """As the README says: `wx` stands nowhere but in topics."""
    for path in FILES:
        assert re.findall(r"\bwx(?!/|2mqtt)", path.read_text()) == [], path


def test_nothing_is_retained_and_nothing_gets_lost():
    for node in of_type(NODES, "mqtt out"):
        assert (node["retain"], node["qos"], node["topic"]) == ("false", "1", "")
    assert {node["qos"] for node in of_type(NODES, "mqtt in")} == {"1"}


def test_all_flows_can_share_a_client_of_the_broker():
    """Node-RED asks once for a filter: all must ask alike, retained ones only once, and none may overlap."""
    asked: dict[str, tuple[object, ...]] = {}
    for node in of_type(NODES, "mqtt in"):
        options = tuple(node[key] for key in ("qos", "nl", "rap", "rh"))
        assert asked.setdefault(node["topic"], options) == options, node["topic"]
    retained = {f"wx/{topic.pattern}" for topic in TOPIC_TABLE if topic.retained}
    often = Counter(node["topic"] for node in of_type(NODES, "mqtt in"))
    assert not {topic for topic, count in often.items() if count > 1 and topic in retained}
    for a, b in itertools.combinations(asked, 2):
        pairs = itertools.zip_longest(a.split("/"), b.split("/"))
        assert any("+" not in pair and pair[0] != pair[1] for pair in pairs), (a, b)
        assert "#" not in a + b


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing (Debian: apt-get install nodejs)")
def test_every_function_and_script_is_javascript(tmp_path):
    program = "\n".join(
        f"async function f{n}(msg) {{\n{node['func']}\n}}" for n, node in enumerate(FUNCTIONS)
    )
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", program, re.DOTALL)
    assert scripts
    (file := tmp_path / "all.js").write_text("\n".join([program, *(f"{{{script}}}" for script in scripts)]))
    done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_echo_answers_its_person_alone_and_says_so():
    tab = single_node(FLOWS["echo"], "tab")
    (answers,) = [node["func"] for node in FLOWS["echo"] if "wx/out/" in node.get("func", "")]
    assert re.findall(r"wx/out/[^`]+", answers) == ["wx/out/${env.get('PERSON')}"]
    assert {entry["name"]: entry["value"] for entry in tab["env"]}["PERSON"] == "me"
    assert "What PERSON writes comes back to PERSON" in tab["info"]


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
@pytest.mark.parametrize("name", FLOWS)
def test_the_readme_has_what_can_be_set_in_a_flow_and_the_topics_of_the_house_that_it_waits_for(name, readme):
    rows = (FOLDER / readme).read_text().splitlines()
    (row,) = [row for row in rows if row.startswith(f"| [{name}]({name}.json)")]
    settings = row.split("|")[3]
    assert re.findall(r"`([A-Z_]+)`", settings) == [
        entry["name"] for entry in single_node(FLOWS[name], "tab")["env"]
    ]
    received = {node["topic"] for node in of_type(FLOWS[name], "mqtt in")}
    assert [topic for topic in received if topic.startswith("home/") and f"`{topic}`" not in row] == []


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readme_tells_of_every_flow(readme):
    assert sorted(re.findall(r"\]\(([\w-]+)\.json\)", (FOLDER / readme).read_text())) == sorted(FLOWS)
