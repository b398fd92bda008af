"""deploy/home-assistant-addon as Home Assistant's Supervisor reads it, by the rules of its developer documentation."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from PIL import Image, ImageChops

import wx2mqtt
from tests.support.rows import every_row
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.registry import BACKENDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/home-assistant-addon"
CONFIG: dict[str, Any] = yaml.safe_load((FOLDER / "config.yaml").read_text())
DOCKERFILE = (FOLDER / "Dockerfile").read_text()

OPTION = r"^(bool|email|url|port|(str|password)(\(\d*,\d*\))?|(int|float)(\([\d.]*,[\d.]*\))?|match\(.+\)|list\(.+\))\??$"
"""A type of the form's options: https://developers.home-assistant.io/docs/add-ons/configuration#options--schema."""

TEXT = {"type": "string", "minLength": 1}
FLAG = {"type": "boolean"}
ADDON_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["name", "version", "slug", "description", "arch"],
    "additionalProperties": False,  # the Supervisor drops what it does not know without a word
    "properties": {
        "name": TEXT,
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "slug": {"type": "string", "pattern": "^[-_.A-Za-z0-9]+$"},
        "description": TEXT,
        "url": {"type": "string", "pattern": "^https://"},
        "image": {"type": "string", "pattern": r"^([a-z0-9.:-]+/)*[-\w{}]+/[-\w{}]+$"},
        "arch": {"type": "array", "minItems": 1, "items": {"enum": ["aarch64", "amd64"]}},
        "homeassistant": {"type": "string", "pattern": r"^\d{4}\.\d+\.\d+$"},
        "startup": {"enum": ["initialize", "system", "services", "application", "once"]},
        "boot": {"enum": ["auto", "manual", "manual_only"]},
        "timeout": {"type": "integer", "minimum": 10, "maximum": 300},
        "init": FLAG,
        "services": {"type": "array", "items": {"pattern": "^(mqtt|mysql):(provide|want|need)$"}},
        "map": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type"],
                "additionalProperties": False,
                "properties": {
                    "type": {
                        "enum": [
                            "addon_config",
                            "all_addon_configs",
                            "addons",
                            "backup",
                            "data",
                            "homeassistant_config",
                            "media",
                            "share",
                            "ssl",
                        ]
                    },
                    "read_only": FLAG,
                    "path": {"type": "string", "pattern": "^/"},
                },
            },
        },
        "ports": {
            "type": "object",
            "patternProperties": {r"^\d{2,5}/tcp$": {"type": "null"}},  # closed until the owner opens it
            "additionalProperties": False,
        },
        "homeassistant_api": FLAG,
        "ingress": FLAG,
        "ingress_port": {"type": "integer", "minimum": 0, "maximum": 65535},
        "ingress_entry": TEXT,
        "ingress_stream": FLAG,
        "panel_icon": {"type": "string", "pattern": "^mdi:[a-z0-9-]+$"},
        "panel_title": TEXT,
        "panel_admin": FLAG,
        "watchdog": {"type": "string", "pattern": r"^(https?|tcp)://\[HOST\]:(\[PORT:\d+\]|\d+).*$"},
        "backup": {"enum": ["hot", "cold"]},
        "backup_pre": TEXT,
        "backup_post": TEXT,
        "backup_exclude": {"type": "array", "items": TEXT},
        "options": {"type": "object"},
        "schema": {"$ref": "#/$defs/fields"},
    },
    "$defs": {
        "option": {"type": "string", "pattern": OPTION},
        "fields": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {"$ref": "#/$defs/option"},
                    {
                        "type": "array",
                        "items": {"anyOf": [{"$ref": "#/$defs/option"}, {"$ref": "#/$defs/fields"}]},
                    },
                    {"$ref": "#/$defs/fields"},
                ]
            },
        },
    },
}
"""The keys that an add-on of ours may have, as the documentation describes them. Those that give rights over the
machine (`privileged`, `full_access`, `host_network`, `docker_api`, …) are left out."""


def script(name: str) -> Any:
    """Returns a Python file of the folder as a module."""
    spec = importlib.util.spec_from_file_location(f"addon_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUN = script("run")


def test_the_configuration_of_the_add_on_keeps_the_documented_schema():
    Draft202012Validator.check_schema(ADDON_SCHEMA)
    Draft202012Validator(ADDON_SCHEMA).validate(CONFIG)


@every_row(
    "change",
    [
        {"privileged": ["NET_ADMIN"]},
        {"host_network": True},
        {"ports": {"8099/tcp": 8099}},
        {"arch": ["i386"]},
        {"watchdog": "http://127.0.0.1:8099"},
        {"schema": {"backend": "list"}},
        {"services": ["mqtt"]},
        {"map": ["config:rw"]},
    ],
)
def test_the_schema_would_find_something_wrong(change):
    with pytest.raises(ValidationError):
        Draft202012Validator(ADDON_SCHEMA).validate({**CONFIG, **change})


def test_what_the_form_has_at_first_is_what_it_accepts():
    assert CONFIG["options"].keys() <= CONFIG["schema"].keys()
    required = {key for key, kind in CONFIG["schema"].items() if not str(kind).endswith("?")}
    assert required == CONFIG["options"].keys()
    for key, value in CONFIG["options"].items():
        kind = CONFIG["schema"][key]
        if isinstance(kind, str) and (choices := re.fullmatch(r"list\((.*)\)", kind)):
            assert value in choices[1].split("|")


def test_the_supervisor_finds_one_add_on_in_the_repository():
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    found = [name for name in tracked if re.search(r"(^|/)config\.(ya?ml|json)$", name)]
    # The Supervisor does not look into folders such as .github.
    assert [name for name in found if not name.startswith(".")] == ["deploy/home-assistant-addon/config.yaml"]
    repository = yaml.safe_load((ROOT / "repository.yaml").read_text())
    assert repository.keys() == {"name", "url", "maintainer"}
    assert repository["url"] == CONFIG["url"] == wx2mqtt.REPOSITORY


@pytest.mark.parametrize("language", ["en", "zh-Hans"])
def test_every_option_is_explained_in_the_languages_of_home_assistant(language):
    words = yaml.safe_load((FOLDER / f"translations/{language}.yaml").read_text())
    assert words.keys() == {"configuration", "network"}
    assert words["configuration"].keys() == CONFIG["schema"].keys()
    assert words["network"].keys() == CONFIG["ports"].keys()
    for option in words["configuration"].values():
        assert option.keys() == {"name", "description"}
        assert bool(re.search("[\u4e00-\u9fff]", option["name"] + option["description"])) == (
            language == "zh-Hans"
        )


def test_the_pictures_are_what_the_script_draws_in_the_sizes_that_are_asked_for():
    draw = script("draw")
    for name, size, drawn in (("icon", (128, 128), draw.icon()), ("logo", (250, 100), draw.logo())):
        shipped = Image.open(FOLDER / f"{name}.png")
        assert shipped.size == size
        difference = ImageChops.difference(shipped.convert("RGBA"), drawn)
        assert max(difference.tobytes()) <= 2, f"draw {name}.png again"


# the image


def test_hadolint_finds_nothing_wrong_in_its_dockerfile():
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([program, "--no-color", FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_has_the_base_and_the_locks_of_the_other_image():
    other = (ROOT / "deploy/docker/Dockerfile").read_text()
    base = re.search(r"^FROM \S+@sha256:\S+ AS base$", other, re.MULTILINE)
    assert base
    assert base[0] in DOCKERFILE
    install = "--no-deps --only-binary=:all: --require-hashes \\\n        -r /tmp/requirements.lock -r /tmp/fallback.lock"
    assert install in other
    assert install in DOCKERFILE


def test_its_variables_keep_the_page_for_the_supervisor_and_the_store_in_data(tmp_path):
    block = re.search(r"^ENV PATH=.*?^#", DOCKERFILE, re.DOTALL | re.MULTILINE)
    assert block
    env = dict(re.findall(r"(WX2MQTT_\w+)=(\S+)", block[0]))
    (file := tmp_path / "own.yaml").write_text(
        "web: {listen: 127.0.0.1:1, ingress: null}\nstorage: {path: /elsewhere}\n"
    )
    settings = load(file, env, BACKENDS).settings
    assert (settings.web.listen, settings.web.ingress) == ("0.0.0.0:8099", "172.30.32.2")
    assert str(settings.storage.path) == "/data/store"
    assert CONFIG["ingress_port"] == 8099


def put_together(folder: Path, **mirrors: str) -> Path:
    """Runs `make add-on` with this folder as its target."""
    environment = {**os.environ, **mirrors}
    command = ["make", "-s", "add-on", f"ADDON={folder}", f"PYTHON={sys.executable}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    return folder


def test_what_is_put_together_has_all_that_the_image_copies(tmp_path):
    folder = put_together(tmp_path / "addon")
    copied = re.findall(r"^COPY (?:--chmod=\d+ )?((?!--from).+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = " ".join(copied).split()
    assert {"program", "run.py", "wx2mqtt"} <= set(sources)
    assert [name for name in sources if not (folder / name).exists()] == []
    assert (folder / "program/wx2mqtt/__main__.py").exists()
    assert list(folder.rglob("__pycache__")) == []
    local = yaml.safe_load((folder / "config.yaml").read_text())
    assert local == {key: value for key, value in CONFIG.items() if key != "image"}
    assert (folder / "Dockerfile").read_text() == DOCKERFILE
    beside = ROOT / "deploy/home-assistant"
    for path in (*beside.glob("blueprints/*.yaml"), beside / "dashboard.yaml"):
        assert (folder / "home-assistant" / path.relative_to(beside)).read_bytes() == path.read_bytes()


def test_the_zip_of_a_release_is_one_folder_with_the_same_files_twice_the_same(tmp_path):
    folder = put_together(tmp_path / "addon")
    archive = (tmp_path / "wx2mqtt-addon.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "wx2mqtt-addon.zip") as zipped:
        packed = {name: zipped.read(name) for name in zipped.namelist() if not name.endswith("/")}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert packed == {f"wx2mqtt/{path.relative_to(folder)}": path.read_bytes() for path in files}
    put_together(folder)
    assert (tmp_path / "wx2mqtt-addon.zip").read_bytes() == archive


def test_mirrors_stand_in_for_docker_hub_and_pypi_and_what_is_checked_stays_checked(tmp_path):
    mirrors = {"IMAGES": "mirror.example/library", "PACKAGES": "https://mirror.example/simple"}
    text = (put_together(tmp_path / "addon", **mirrors) / "Dockerfile").read_text()
    base = re.search(r"^FROM (\S+@sha256:\S+) AS base$", DOCKERFILE, re.MULTILINE)
    assert base
    assert f"FROM mirror.example/library/{base[1]} AS base\n" in text
    assert "ENV PIP_INDEX_URL=https://mirror.example/simple PIP_" in text
    assert "--require-hashes" in text


# the options

TOKEN = "a-token-of-32-characters-or-more-1"


MEDIA = {"media": {"allow_hosts": ["homeassistant", "homeassistant.local"]}}


@pytest.mark.parametrize(
    ("options", "accounts", "expose"),
    [
        (
            {"backend": "ilink", "contacts": [{"name": "x", "remark": "y"}]},
            {"home": {"backend": "ilink", "contacts": {"me": {"owner": True}}, **MEDIA}},
            ["me"],
        ),
        (
            {"remind": True, "renew": True, "allow_hosts": ["192.168.1.20", "door.lan"]},
            {
                "home": {
                    "backend": "ilink",
                    "contacts": {"me": {"owner": True}},
                    "ilink": {"remind": {"before": "2h"}, "renew": {"after": "25d"}},
                    "media": {"allow_hosts": ["192.168.1.20", "door.lan"]},
                }
            },
            ["me"],
        ),
        (
            {"remind": False, "renew": True},
            {
                "home": {
                    "backend": "ilink",
                    "contacts": {"me": {"owner": True}},
                    "ilink": {"renew": {"after": "25d"}},
                    **MEDIA,
                }
            },
            ["me"],
        ),
        (
            {
                "backend": "webwx",
                "contacts": [
                    {"name": "wife", "remark": "老婆", "alias": "w1", "group": ""},
                    {"name": "family", "group": "相亲相爱一家人"},
                ],
            },
            {
                "home": {
                    "backend": "webwx",
                    "contacts": {"wife": {"remark": "老婆"}, "family": {"group": "相亲相爱一家人"}},
                    **MEDIA,
                }
            },
            ["wife", "family"],
        ),
        (
            {
                "backend": "wecom",
                "contacts": [{"name": "office", "wecom": "g1"}],
                "wecom_bot_id": "b",
                "wecom_secret": "s",
            },
            {
                "home": {
                    "backend": "wecom",
                    "contacts": {"me": {"owner": True}, "office": {"wecom": "g1"}},
                    **MEDIA,
                }
            },
            ["me", "office"],
        ),
        (
            {
                "second": "webwx",
                "contacts": [{"name": "wife", "remark": "老婆"}, {"name": "boss", "wecom": "x"}],
            },
            {
                "home": {
                    "backend": "ilink",
                    "contacts": {"me": {"owner": True}},
                    **MEDIA,
                    "fallback": {"accounts": ["second/wife"]},
                },
                "second": {"backend": "webwx", "contacts": {"wife": {"remark": "老婆"}}, **MEDIA},
            },
            ["home/me", "second/wife"],
        ),
        (
            {"backend": "webwx", "second": "ilink", "renew": True, "fallback_accounts": ["second/me"]},
            {
                "home": {
                    "backend": "webwx",
                    "contacts": {},
                    **MEDIA,
                    "fallback": {"accounts": ["second/me"]},
                },
                "second": {
                    "backend": "ilink",
                    "contacts": {"me": {"owner": True}},
                    "ilink": {"renew": {"after": "25d"}},
                    **MEDIA,
                },
            },
            ["second/me"],
        ),
        (
            {"backend": "webwx", "contacts": [], "remind": True, "renew": True},
            {"home": {"backend": "webwx", "contacts": {}, **MEDIA}},
            [],
        ),
    ],
)
def test_the_options_become_a_configuration_that_the_bridge_takes(tmp_path, options, accounts, expose):
    written = RUN.configuration_of({"log_level": "debug", **options}, "zh")
    assert written["accounts"] == accounts
    assert written["homeassistant"] == {"enabled": True, "expose": expose}
    (file := tmp_path / "wx2mqtt.yaml").write_text(yaml.safe_dump(written, allow_unicode=True))
    loaded = load(
        file, {"WX2MQTT_MQTT__URL": "mqtt://core-mosquitto:1883", **RUN.secrets_of(options)}, BACKENDS
    )
    assert (loaded.settings.language, loaded.settings.log.level) == ("zh", "debug")
    assert loaded.warnings == ()


def test_the_form_begins_with_ilink_and_with_home_assistant_as_the_host_of_pictures():
    assert next(iter(CONFIG["options"])) == "backend"
    assert CONFIG["schema"]["backend"].startswith("list(ilink|")
    assert CONFIG["options"]["backend"] == "ilink"
    assert CONFIG["options"]["allow_hosts"] == RUN.HOME_ASSISTANT_HOSTS == MEDIA["media"]["allow_hosts"]
    assert (CONFIG["options"]["remind"], CONFIG["options"]["renew"]) == (False, False)
    assert CONFIG["options"]["fallback"] == CONFIG["options"]["senders"] == []
    assert (CONFIG["options"]["language"], CONFIG["options"]["second"]) == ("auto", "none")
    backends = set(CONFIG["schema"]["backend"][5:-1].split("|"))
    assert backends == set(RUN.PINS) == set(BACKENDS)


def test_the_other_way_for_alarms_goes_to_the_bridge_and_into_no_file(tmp_path):
    options = {"backend": "ilink", "fallback": ["json://a:b@c", "tgram://d, e"]}
    (file := tmp_path / "wx2mqtt.yaml").write_text(yaml.safe_dump(RUN.configuration_of(options)))
    assert "json" not in file.read_text()
    env = {"WX2MQTT_MQTT__URL": "mqtt://core-mosquitto:1883", **RUN.secrets_of(options)}
    urls = load(file, env, BACKENDS).settings.accounts["home"].fallback.urls
    assert [url.get_secret_value() for url in urls] == options["fallback"]
    assert RUN.secrets_of({"fallback": []}) == RUN.secrets_of({}) == {}


def test_programs_that_send_over_http_get_ports_that_are_closed_at_first(tmp_path):
    sender = {"name": "nas", "token": TOKEN, "to": "me", "users": "me, family", "rate": 10}
    options = {"senders": [sender, {"name": "ups", "token": f"{TOKEN}2", "to": "me"}]}
    (file := tmp_path / "wx2mqtt.yaml").write_text(yaml.safe_dump(RUN.configuration_of(options)))
    assert TOKEN not in file.read_text()
    env = {"WX2MQTT_MQTT__URL": "mqtt://core-mosquitto:1883", **RUN.secrets_of(options)}
    web = load(file, env, BACKENDS).settings.web
    assert [(sender.name, sender.to, sender.users, sender.rate) for sender in web.senders] == [
        ("nas", "me", ("me", "family"), 10),
        ("ups", "me", (), 60),
    ]
    assert web.senders[0].token is not None
    assert web.senders[0].token.get_secret_value() == TOKEN
    ports = {
        f"{address.rpartition(':')[2]}/tcp" for address in (web.senders_listen, web.ntfy_listen) if address
    }
    assert ports == CONFIG["ports"].keys()


def test_id_and_secret_of_a_bot_belong_to_the_account_that_is_on_wecom():
    secret = {"wecom_bot_id": "b", "wecom_secret": "s"}
    first = RUN.secrets_of({"backend": "wecom", **secret})
    second = RUN.secrets_of({"backend": "ilink", "second": "wecom", **secret})
    for account, variables in (("HOME", first), ("SECOND", second)):
        prefix = f"WX2MQTT_ACCOUNTS__{account}__WECOM__"
        assert variables == {f"{prefix}BOT_ID": "b", f"{prefix}SECRET": "s"}
    assert RUN.secrets_of({"backend": "ilink", **secret}) == {}


def test_somebody_without_a_way_to_find_them_is_named():
    with pytest.raises(RUN.AddonError, match="wife needs a remark"):
        RUN.configuration_of({"backend": "webwx", "contacts": [{"name": "wife"}]})
