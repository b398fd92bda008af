"""`wx2mqtt check --as` takes user, variables and credentials of a service from its installed unit."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.setup import service_user
from wx2mqtt.setup.service_user import ServiceUnit, become_service, find_unit
from wx2mqtt.store.folder_owner import DYNAMIC_IDS
from wx2mqtt.store.owner_access import User

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def unit_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of units, of which the first counts before the second."""
    folders = tmp_path / "etc", tmp_path / "lib"
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(service_user, "UNIT_FOLDERS", folders)
    return folders


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder into which credentials are written; no file in it is given to another user."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setattr(os, "chown", lambda *_: None)
    return folder


def write_unit(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def unit(*settings: tuple[str, str], name: str = "wx2mqtt") -> ServiceUnit:
    return ServiceUnit(name=name, settings=settings)


def apply_unit(service: ServiceUnit, folder: Path) -> dict[str, str]:
    """Returns the variables that the process gets."""
    env: dict[str, str] = {}
    service_user._apply(service, User(uid=1, gid=1, groups=()), folder, env, "en")
    return env


def test_without_an_installed_unit_there_is_none(unit_folders: tuple[Path, Path]) -> None:
    assert find_unit("wx2mqtt") is None


def test_only_the_section_of_the_service_is_read(unit_folders: tuple[Path, Path]) -> None:
    text = "[Unit]\nUser=other\n[Service]\n# User=comment\n; User=comment\nUser = wx \nGroup\n[Install]\nUser=x\n"
    write_unit(unit_folders[1] / "wx2mqtt.service", text)
    installed = find_unit("wx2mqtt")
    assert installed == ServiceUnit(name="wx2mqtt", settings=[("User", "wx")])


def test_a_line_that_is_continued_is_one_value(unit_folders: tuple[Path, Path]) -> None:
    write_unit(unit_folders[1] / "wx2mqtt.service", "[Service]\nEnvironment=A=1 \\\n  B=2\n")
    installed = find_unit("wx2mqtt")
    assert installed is not None
    assert installed.last("Environment").split() == ["A=1", "B=2"]


def test_the_unit_of_the_first_folder_counts_with_the_drop_ins_of_all(
    unit_folders: tuple[Path, Path],
) -> None:
    first, second = unit_folders
    write_unit(second / "wx2mqtt.service", "[Service]\nUser=packaged\n")
    write_unit(first / "wx2mqtt.service", "[Service]\nUser=own\nGroup=own\n")
    write_unit(second / "wx2mqtt.service.d" / "10-user.conf", "[Service]\nUser=of the package\n")
    write_unit(first / "wx2mqtt.service.d" / "10-user.conf", "[Service]\nUser=changed\n")
    write_unit(second / "wx2mqtt.service.d" / "20-group.conf", "[Service]\nGroup=added\n")
    installed = find_unit("wx2mqtt")
    assert installed is not None
    assert (installed.values("User"), installed.values("Group")) == (["own", "changed"], ["own", "added"])


def test_an_instance_of_a_template_has_its_unit(unit_folders: tuple[Path, Path]) -> None:
    write_unit(unit_folders[1] / "wx2mqtt@.service", "[Service]\nUser=wx\n")
    installed = find_unit("wx2mqtt@home")
    assert installed is not None
    assert (installed.name, installed.last("User")) == ("wx2mqtt@home", "wx")


def test_an_empty_value_takes_back_those_before_it() -> None:
    service = unit(("LoadCredential", "a"), ("LoadCredential", ""), ("LoadCredential", "b"))
    assert service.values("LoadCredential") == ["b"]
    assert unit(("User", "wx"), ("User", "")).last("User") == ""


def test_the_variables_of_the_unit_are_set_with_its_instance_and_its_state_folder(credentials: Path) -> None:
    service = unit(
        ("Environment", "WX2MQTT_LANGUAGE=zh 'NAME=%i' PERCENT=100%%i"),
        ("StateDirectory", "wx2mqtt/%i more:link"),
        name="wx2mqtt@home",
    )
    assert apply_unit(service, credentials) == {
        "WX2MQTT_LANGUAGE": "zh",
        "NAME": "home",
        "PERCENT": "100%i",
        "STATE_DIRECTORY": "/var/lib/wx2mqtt/home:/var/lib/more",
    }


def test_credentials_are_files_in_the_folder_of_credentials(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("geheim")
    monkeypatch.setattr(service_user, "CREDENTIAL_STORES", (tmp_path / "none", tmp_path / "store"))
    write_unit(tmp_path / "store" / "urls", "json://localhost")
    service = unit(
        ("Environment", "FOLDER=%d"),
        ("LoadCredential", f"mqtt.password:{tmp_path}/password"),
        ("LoadCredential", "urls"),
        ("SetCredential", "plain:a:b"),
    )
    assert apply_unit(service, credentials) == {
        "FOLDER": str(credentials),
        "CREDENTIALS_DIRECTORY": str(credentials),
    }
    contents = {path.name: path.read_text() for path in credentials.iterdir()}
    assert contents == {"mqtt.password": "geheim", "urls": "json://localhost", "plain": "a:b"}
    assert {path.stat().st_mode & 0o777 for path in credentials.iterdir()} == {0o400}


def test_a_credential_that_cannot_be_read_is_named_with_its_file(credentials: Path, tmp_path: Path) -> None:
    service = unit(("LoadCredential", f"mqtt.password:{tmp_path}/missing"))
    with pytest.raises(Wx2MqttError, match=rf"mqtt\.password.*{tmp_path}/missing"):
        apply_unit(service, credentials)


def test_the_user_of_the_unit_counts_before_its_name() -> None:
    user = service_user._user("wx2mqtt", unit(("User", "nobody"), ("Group", "65")), "en")
    assert (user.uid, user.gid, user.name) == (NOBODY.pw_uid, 65, "nobody")


def test_supplementary_groups_are_added() -> None:
    user = service_user._user("nobody", unit(("SupplementaryGroups", "65 66")), "en")
    assert {65, 66} < {*user.groups, NOBODY.pw_gid}


def test_a_user_that_systemd_makes_at_the_start_gets_an_unused_id_of_its_range() -> None:
    user = service_user._user("no-such-user", unit(("DynamicUser", "Yes")), "en")
    assert user.uid in DYNAMIC_IDS
    assert user.uid not in {entry.pw_uid for entry in pwd.getpwall()}
    assert (user.gid, user.name) == (user.uid, "no-such-user")


@pytest.mark.parametrize("service", [None, unit(), unit(("DynamicUser", "no"))], ids=["none", "empty", "no"])
def test_an_unknown_user_is_refused_by_name(service: ServiceUnit | None) -> None:
    with pytest.raises(Wx2MqttError, match="no-such-user"):
        service_user._user("no-such-user", service, "en")


def test_an_unknown_group_is_refused_by_name() -> None:
    with pytest.raises(Wx2MqttError, match="no-such-group"):
        service_user._user("nobody", unit(("Group", "no-such-group")), "en")


def test_the_folders_of_root_are_not_those_of_the_service() -> None:
    env = {"HOME": "/root", "XDG_DATA_HOME": "/root/data", "CREDENTIALS_DIRECTORY": "/run/x", "LANG": "C"}
    service_user._leave_folders_of_root(User(uid=61_500, gid=61_500, groups=()), env)
    assert env == {"HOME": "/", "LANG": "C"}


def test_only_root_can_become_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    env = {"HOME": "/home/me"}
    with pytest.raises(Wx2MqttError, match="sudo"):
        become_service("wx2mqtt", env, "en")
    assert env == {"HOME": "/home/me"}
