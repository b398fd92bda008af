"""deploy/docker without docker: the linters of its own kind, and the scripts run as the containers run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.broker import Mosquitto, free_port
from tests.support.broker_user import BrokerUser
from tests.support.process import BridgeProcess
from tests.support.web import application_client
from wx2mqtt.app.web_servers import web_options
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.registry import BACKENDS

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
USERS = ["bridge", "homeassistant", "node-red", "reader", "device"]
PINNED = re.compile(r"[a-z][a-z-]*:\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}")


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A program that is installed beside this Python."""
    program = Path(sys.executable).parent / arguments[0]
    return subprocess.run([str(program), *arguments[1:]], capture_output=True, text=True, check=False)


def instructions(name: str) -> list[str]:
    """What stands behind an instruction, each time, in one line."""
    whole = DOCKERFILE.replace("\\\n", " ")
    return [" ".join(line.split()) for line in re.findall(rf"(?m)^{name} (.*)$", whole)]


# the Dockerfile


def test_hadolint_finds_nothing_wrong():
    done = tool("hadolint", "--no-color", str(DOCKER / "Dockerfile"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_hadolint_would_find_something_wrong(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("USER 10001:10001", "USER root"))
    assert "DL3002" in tool("hadolint", "--no-color", str(tmp_path / "Dockerfile")).stdout


def test_every_base_is_pinned_to_one_content():
    (base, *stages) = [line.split() for line in instructions("FROM")]
    assert PINNED.fullmatch(base[0])
    assert stages == [["base", "AS", "build"], ["base"]]
    assert PINNED.fullmatch(SERVICES["mosquitto"]["image"])


def test_nothing_is_installed_without_its_hash_or_built_from_sources():
    (install,) = [line for line in instructions("RUN") if "pip install" in line]
    assert "--no-deps --only-binary=:all: --require-hashes -r /tmp/requirements.lock" in install
    assert "-r /tmp/fallback.lock -r /tmp/postgresql.lock" in install
    assert not re.search(r"apt-get|curl|wget|git clone", DOCKERFILE)
    assert not instructions("ADD")


def test_the_program_runs_as_nobody_special_and_tells_how_it_does():
    assert instructions("USER") == ["10001:10001"]
    (check,) = instructions("HEALTHCHECK")
    assert 'CMD ["wx2mqtt", "healthcheck", "--live"]' in check
    assert instructions("ENTRYPOINT") == ['["wx2mqtt"]']
    assert instructions("VOLUME") == ["/var/lib/wx2mqtt"]


def test_what_is_copied_exists_and_nothing_else_goes_to_the_builder():
    sources = {line.split()[-2] for line in instructions("COPY") if "--from" not in line}
    assert all((ROOT / source).exists() for source in sources)
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored[ignored.index("*") - 1].startswith("#")
    assert let_in == sources


def test_the_program_of_the_container_is_the_program(tmp_path):
    """With the places of this machine instead of the container's."""
    text = (DOCKER / "wx2mqtt").read_text()
    assert os.access(DOCKER / "wx2mqtt", os.X_OK)
    text = text.replace("/opt/wx2mqtt/bin/python", sys.executable).replace("/opt/wx2mqtt/program", str(ROOT))
    (program := tmp_path / "wx2mqtt").write_text(text)
    program.chmod(0o755)
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert re.fullmatch(r"wx2mqtt \d+\.\d+\.\d+\n", done.stdout), done.stderr


# compose.yaml


def test_the_compose_file_keeps_the_compose_specification():
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_specification_would_find_something_wrong(tmp_path):
    text = (DOCKER / "compose.yaml").read_text().replace("cap_drop: [ALL]", "cap_dropped: [ALL]")
    (tmp_path / "compose.yaml").write_text(text)
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(tmp_path / "compose.yaml"))
    assert done.returncode != 0


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_may_do_as_little_as_it_can(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()
    assert service["restart"] == "unless-stopped"
    files = [one for one in service["volumes"] if one.startswith(".")]
    assert all(one.endswith(":ro") for one in files)
    assert all((DOCKER / one.partition(":")[0]).exists() for one in files)


@pytest.mark.parametrize("name", SERVICES)
def test_the_docker_of_a_nas_takes_it_too(name):
    """Docker before 25 refuses the whole file for a `start_interval`, and a NAS has 24."""
    assert "start_interval" not in SERVICES[name].get("healthcheck", {})


def test_no_secret_stands_in_a_file_of_the_project():
    text = (DOCKER / "compose.yaml").read_text() + (DOCKER / "wx2mqtt.yaml").read_text()
    assert not re.search(r"(?i)password: \S", text)
    files = [secret["file"] for secret in COMPOSE["secrets"].values()]
    assert all(file.startswith("./secrets/") for file in files)
    git = subprocess.run(
        ["git", "check-ignore", *(str(DOCKER / file) for file in files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert len(git.stdout.splitlines()) == len(files)


def test_only_this_machine_reaches_the_page():
    assert SERVICES["bridge"]["ports"] == ["127.0.0.1:8099:8099"]


# the scripts


@pytest.fixture
def prepared(tmp_path):
    """A copy of the folder after `prepare.sh`."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets", "*.png"))
    folder = tmp_path / "deploy" / "docker"
    subprocess.run(["sh", str(folder / "prepare.sh")], check=True, capture_output=True, cwd=tmp_path)
    return folder


def test_prepare_makes_every_secret_once_and_for_nobody_else(prepared):
    secrets = prepared / "secrets"
    made = {file.name: file.read_text() for file in secrets.iterdir()}
    assert made.keys() == COMPOSE["secrets"].keys()
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}\n", text) for text in made.values())
    assert len(set(made.values())) == len(made)
    assert secrets.stat().st_mode & 0o777 == 0o700
    subprocess.run(["sh", str(prepared / "prepare.sh")], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == made


class Container(Mosquitto):
    """`broker.sh` as its container runs it, with the places of this machine instead."""

    def __init__(self, folder: Path, docker: Path) -> None:
        port = free_port()
        super().__init__(folder, "", port=port, listener=False)
        places = {
            "/run/secrets/": f"{docker}/secrets/",
            "/run/mosquitto": str(folder),
            "/etc/wx2mqtt/acl": str(docker.parent / "mosquitto" / "acl"),
            "/etc/wx2mqtt/wx2mqtt.conf": str(folder / "shipped.conf"),
            "/mosquitto/data/": f"{folder}/",
        }
        conf = (docker.parent / "mosquitto" / "wx2mqtt.conf").read_text()
        conf = f"user {pwd_name()}\n" + conf.replace("listener 1883\n", f"listener {port} 127.0.0.1\n")
        (folder / "shipped.conf").write_text(conf)
        script = (docker / "broker.sh").read_text()
        for there, here in places.items():
            script = script.replace(there, here)
        env = {"BASE": "wx", "DISCOVERY": "homeassistant", "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        (folder / "broker.sh").write_text(script)
        subprocess.run(
            ["sh", "-c", f"sed 's/^exec .*//' {folder}/broker.sh | sh"],
            check=True,
            env=env,
            capture_output=True,
        )


def pwd_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def container(prepared, tmp_path):
    (tmp_path / "broker").mkdir()
    broker = Container(tmp_path / "broker", prepared).start()
    yield broker
    broker.stop()


def test_the_broker_of_the_container_lets_in_who_has_a_secret_and_gives_each_their_rights(
    container, prepared
):
    for user in USERS:
        secret = (prepared / "secrets" / user).read_text().strip()
        with BrokerUser(container.port, user, secret) as one:
            assert not one.refusal
            assert (one.publish("wx/in/wife") == 135) == (user != "bridge")
    with BrokerUser(container.port, "bridge", "wrong") as one:
        assert one.refusal
    for name in ("wx2mqtt.passwd", "wx2mqtt.acl"):
        assert (container.folder / name).stat().st_mode & 0o077 == 0
    assert "secret" not in (container.folder / "wx2mqtt.passwd").read_text()


async def test_prometheus_gets_in_by_the_name_of_the_container_with_the_token_and_only_so(prepared, tmp_path):
    env = {"CREDENTIALS_DIRECTORY": str(credentials(prepared, tmp_path / "run"))}
    options = web_options(load(prepared / "wx2mqtt.yaml", env, BACKENDS).settings)
    token = (prepared / "secrets" / "token").read_text().strip()
    config = re.search(r"```yaml\n(scrape_configs.*?)```", (DOCKER / "README.md").read_text(), re.DOTALL)
    assert config
    (job,) = yaml.safe_load(config[1])["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    bearer = {"authorization": f"Bearer {token}"}
    answers = []
    for host, headers in ((target, bearer), (target, {}), ("evil.example:8099", bearer)):
        async with application_client(
            [], options, client="172.18.0.4", headers={"host": host, **headers}
        ) as http:
            answers.append((await http.get("/metrics")).status_code)
    assert answers == [200, 401, 403]


def test_its_health_is_asked_in_a_way_that_mosquitto_knows(container, prepared):
    test = SERVICES["mosquitto"]["healthcheck"]["test"].replace("$$", "$")
    test = test.replace("/run/secrets/", f"{prepared}/secrets/") + f" -p {container.port}"
    for base, code in (("wx", 0),):
        done = subprocess.run(
            ["sh", "-c", test], env={**os.environ, "BASE": base}, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
    (prepared / "secrets" / "bridge").write_text("wrong")
    assert (
        subprocess.run(["sh", "-c", test], env={**os.environ, "BASE": "wx"}, capture_output=True).returncode
        != 0
    )


def credentials(prepared: Path, folder: Path) -> Path:
    """/run/secrets of the bridge's container."""
    folder.mkdir()
    for secret in SERVICES["bridge"]["secrets"]:
        shutil.copy(prepared / "secrets" / secret["source"], folder / secret["target"])
    return folder


def test_the_configuration_can_be_used_as_it_stands(prepared, tmp_path):
    env = {"CREDENTIALS_DIRECTORY": str(credentials(prepared, tmp_path / "run"))}
    loaded = load(prepared / "wx2mqtt.yaml", env, BACKENDS)
    assert loaded.warnings == ()
    assert loaded.settings.mqtt.url == ("mqtt://mosquitto:1883",)
    assert loaded.settings.mqtt.password is not None
    assert loaded.settings.web.password is not None
    assert loaded.settings.accounts["home"].backend == "ilink"


def test_the_bridge_comes_up_on_the_broker_with_these_secrets(container, prepared, tmp_path):
    settings = yaml.safe_load((prepared / "wx2mqtt.yaml").read_text())
    settings["mqtt"]["url"] = container.url
    settings["web"]["listen"] = "0.0.0.0:0"
    env = {"CREDENTIALS_DIRECTORY": str(credentials(prepared, tmp_path / "run"))}
    settings["accounts"]["home"]["endpoint"] = "http://127.0.0.1:9"  # no WeChat here
    with BridgeProcess(tmp_path / "bridge", settings, env=env) as bridge:
        bridge.wait_for_log("connected to the broker")
        secret = (prepared / "secrets" / "reader").read_text().strip()
        with BrokerUser(container.port, "reader", secret) as reader:
            reader.subscribe("wx/#")
            reader.wait("wx/bridge/state", b"online")
        command = [sys.executable, "-m", "wx2mqtt", "healthcheck", "--live", "-c", str(bridge.config)]
        live = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
        assert (live.returncode, live.stdout) == (0, "well\n")


@pytest.mark.parametrize("folder", ["docker", "postgresql"])
def test_what_helps_alarms_stands_there_as_comments_that_work_without_their_mark(folder, tmp_path):
    text = (ROOT / "deploy" / folder / "wx2mqtt.yaml").read_text()
    marked = r"^    # ?(ilink:$|  remind:|  renew:|fallback:|media:)"
    accounts = yaml.safe_load(re.sub(marked, r"    \1", text, flags=re.MULTILINE))["accounts"]
    (file := tmp_path / "wx2mqtt.yaml").write_text(yaml.safe_dump({"accounts": accounts}, allow_unicode=True))
    file.chmod(0o600)
    home = load(file, {}, BACKENDS).settings.accounts["home"]
    assert (home.ilink.remind.before, home.ilink.renew.after) == (7200.0, 25 * 86_400.0)
    assert len(home.fallback.urls) == 1
    assert home.media.allow_hosts == ("192.168.1.10",)
