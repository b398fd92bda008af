"""Checks deploy/docker without docker: by linters, and by running the scripts as the containers do."""

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
    """Runs a program that is installed beside this Python."""
    program = Path(sys.executable).parent / arguments[0]
    return subprocess.run([str(program), *arguments[1:]], capture_output=True, text=True, check=False)


def instructions(name: str) -> list[str]:
    """Returns the arguments of each instruction of this name, each in one line."""
    joined_lines = DOCKERFILE.replace("\\\n", " ")
    return [" ".join(line.split()) for line in re.findall(rf"(?m)^{name} (.*)$", joined_lines)]


# the Dockerfile


def test_hadolint_finds_nothing_wrong():
    done = tool("hadolint", "--no-color", str(DOCKER / "Dockerfile"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_hadolint_would_find_something_wrong(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("USER 10001:10001", "USER root"))
    assert "DL3002" in tool("hadolint", "--no-color", str(tmp_path / "Dockerfile")).stdout


def test_every_base_image_is_pinned_by_its_digest():
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


def test_the_container_runs_without_privileges_and_has_a_healthcheck():
    assert instructions("USER") == ["10001:10001"]
    (check,) = instructions("HEALTHCHECK")
    assert 'CMD ["wx2mqtt", "healthcheck", "--live"]' in check
    assert instructions("ENTRYPOINT") == ['["wx2mqtt"]']
    assert instructions("VOLUME") == ["/var/lib/wx2mqtt"]


def test_all_copied_files_exist_and_no_others_go_to_the_builder():
    sources = {line.split()[-2] for line in instructions("COPY") if "--from" not in line}
    assert all((ROOT / source).exists() for source in sources)
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    admitted = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored[ignored.index("*") - 1].startswith("#")
    assert admitted == sources


def test_the_program_of_the_container_runs_wx2mqtt(tmp_path):
    """The paths of this machine take the place of the container's."""
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
def test_each_container_has_the_least_privileges(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()
    assert service["restart"] == "unless-stopped"
    files = [path for path in service["volumes"] if path.startswith(".")]
    assert all(path.endswith(":ro") for path in files)
    assert all((DOCKER / path.partition(":")[0]).exists() for path in files)


@pytest.mark.parametrize("name", SERVICES)
def test_docker_24_of_a_nas_accepts_the_compose_file(name):
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
def docker_folder(tmp_path):
    """Returns a copy of the folder after `prepare.sh`."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets", "*.png"))
    folder = tmp_path / "deploy" / "docker"
    subprocess.run(["sh", str(folder / "prepare.sh")], check=True, capture_output=True, cwd=tmp_path)
    return folder


def test_prepare_makes_every_secret_once_and_for_nobody_else(docker_folder):
    secrets = docker_folder / "secrets"
    contents = {file.name: file.read_text() for file in secrets.iterdir()}
    assert contents.keys() == COMPOSE["secrets"].keys()
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}\n", text) for text in contents.values())
    assert len(set(contents.values())) == len(contents)
    assert secrets.stat().st_mode & 0o777 == 0o700
    subprocess.run(["sh", str(docker_folder / "prepare.sh")], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == contents


class BrokerContainer(Mosquitto):
    """Runs `broker.sh` as its container does, with the paths of this machine."""

    def __init__(self, folder: Path, docker: Path) -> None:
        port = free_port()
        super().__init__(folder, "", port=port, listener=False)
        paths = {
            "/run/secrets/": f"{docker}/secrets/",
            "/run/mosquitto": str(folder),
            "/etc/wx2mqtt/acl": str(docker.parent / "mosquitto" / "acl"),
            "/etc/wx2mqtt/wx2mqtt.conf": str(folder / "shipped.conf"),
            "/mosquitto/data/": f"{folder}/",
        }
        config = (docker.parent / "mosquitto" / "wx2mqtt.conf").read_text()
        config = f"user {current_user_name()}\n" + config.replace(
            "listener 1883\n", f"listener {port} 127.0.0.1\n"
        )
        (folder / "shipped.conf").write_text(config)
        script = (docker / "broker.sh").read_text()
        for container_path, local_path in paths.items():
            script = script.replace(container_path, local_path)
        env = {"BASE": "wx", "DISCOVERY": "homeassistant", "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        (folder / "broker.sh").write_text(script)
        subprocess.run(
            ["sh", "-c", f"sed 's/^exec .*//' {folder}/broker.sh | sh"],
            check=True,
            env=env,
            capture_output=True,
        )


def current_user_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def container(docker_folder, tmp_path):
    (tmp_path / "broker").mkdir()
    broker = BrokerContainer(tmp_path / "broker", docker_folder).start()
    yield broker
    broker.stop()


def test_the_broker_of_the_container_admits_users_with_a_secret_and_gives_each_their_rights(
    container, docker_folder
):
    for user in USERS:
        secret = (docker_folder / "secrets" / user).read_text().strip()
        with BrokerUser(container.port, user, secret) as guest:
            assert not guest.refusal
            assert (guest.publish("wx/in/wife") == 135) == (user != "bridge")
    with BrokerUser(container.port, "bridge", "wrong") as guest:
        assert guest.refusal
    for name in ("wx2mqtt.passwd", "wx2mqtt.acl"):
        assert (container.folder / name).stat().st_mode & 0o077 == 0
    assert "secret" not in (container.folder / "wx2mqtt.passwd").read_text()


async def test_prometheus_is_admitted_by_the_name_of_the_container_and_the_token_only(
    docker_folder, tmp_path
):
    env = {"CREDENTIALS_DIRECTORY": str(credentials(docker_folder, tmp_path / "run"))}
    options = web_options(load(docker_folder / "wx2mqtt.yaml", env, BACKENDS).settings)
    token = (docker_folder / "secrets" / "token").read_text().strip()
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


def test_the_healthcheck_of_mosquitto_works(container, docker_folder):
    command = SERVICES["mosquitto"]["healthcheck"]["test"].replace("$$", "$")
    command = command.replace("/run/secrets/", f"{docker_folder}/secrets/") + f" -p {container.port}"
    for base, code in (("wx", 0),):
        done = subprocess.run(
            ["sh", "-c", command], env={**os.environ, "BASE": base}, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
    (docker_folder / "secrets" / "bridge").write_text("wrong")
    assert (
        subprocess.run(
            ["sh", "-c", command], env={**os.environ, "BASE": "wx"}, capture_output=True
        ).returncode
        != 0
    )


def credentials(docker_folder: Path, folder: Path) -> Path:
    """Returns a folder like /run/secrets of the bridge's container."""
    folder.mkdir()
    for secret in SERVICES["bridge"]["secrets"]:
        shutil.copy(docker_folder / "secrets" / secret["source"], folder / secret["target"])
    return folder


def test_the_configuration_can_be_used_as_it_stands(docker_folder, tmp_path):
    env = {"CREDENTIALS_DIRECTORY": str(credentials(docker_folder, tmp_path / "run"))}
    loaded = load(docker_folder / "wx2mqtt.yaml", env, BACKENDS)
    assert loaded.warnings == ()
    assert loaded.settings.mqtt.url == ("mqtt://mosquitto:1883",)
    assert loaded.settings.mqtt.password is not None
    assert loaded.settings.web.password is not None
    assert loaded.settings.accounts["home"].backend == "ilink"


def test_the_bridge_connects_to_the_broker_with_these_secrets(container, docker_folder, tmp_path):
    settings = yaml.safe_load((docker_folder / "wx2mqtt.yaml").read_text())
    settings["mqtt"]["url"] = container.url
    settings["web"]["listen"] = "0.0.0.0:0"
    env = {"CREDENTIALS_DIRECTORY": str(credentials(docker_folder, tmp_path / "run"))}
    settings["accounts"]["home"]["endpoint"] = "http://127.0.0.1:9"  # no WeChat here
    with BridgeProcess(tmp_path / "bridge", settings, env=env) as bridge:
        bridge.wait_for_log("connected to the broker")
        secret = (docker_folder / "secrets" / "reader").read_text().strip()
        with BrokerUser(container.port, "reader", secret) as reader:
            reader.subscribe("wx/#")
            reader.wait("wx/bridge/state", b"online")
        command = [sys.executable, "-m", "wx2mqtt", "healthcheck", "--live", "-c", str(bridge.config)]
        healthcheck = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
        assert (healthcheck.returncode, healthcheck.stdout) == (0, "well\n")


@pytest.mark.parametrize("folder", ["docker", "postgresql"])
def test_options_that_help_alarms_are_comments_that_work_when_uncommented(folder, tmp_path):
    text = (ROOT / "deploy" / folder / "wx2mqtt.yaml").read_text()
    commented = r"^    # ?(ilink:$|  remind:|  renew:|fallback:|media:)"
    accounts = yaml.safe_load(re.sub(commented, r"    \1", text, flags=re.MULTILINE))["accounts"]
    (file := tmp_path / "wx2mqtt.yaml").write_text(yaml.safe_dump({"accounts": accounts}, allow_unicode=True))
    file.chmod(0o600)
    home = load(file, {}, BACKENDS).settings.accounts["home"]
    assert (home.ilink.remind.before, home.ilink.renew.after) == (7200.0, 25 * 86_400.0)
    assert len(home.fallback.urls) == 1
    assert home.media.allow_hosts == ("192.168.1.10",)
