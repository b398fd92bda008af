"""The files that `wx2mqtt setup` writes have their modes, and keep an old file beside; the systemd unit."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import stat
import sys
from pathlib import Path

import pytest

from tests.support.rows import every_row
from wx2mqtt.setup import written_files
from wx2mqtt.setup.written_files import PRIVATE_MODE, PUBLIC_MODE, CannotWrite, SecretFiles, write_file

SHIPPED = Path(__file__).parents[3] / "deploy" / "systemd" / "wx2mqtt.service"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_has_its_mode_whatever_the_umask_and_its_folder_is_made(tmp_path):
    path = tmp_path / "etc" / "wx2mqtt" / "a.yaml"
    assert write_file(path, "text", PRIVATE_MODE) is None
    assert (path.read_text(), mode(path)) == ("text", PRIVATE_MODE)
    write_file(path, "more", PUBLIC_MODE)
    assert mode(path) == PUBLIC_MODE


def test_an_old_file_is_kept_beside_the_new_one(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("old")
    aside = write_file(path, "new", PUBLIC_MODE)
    assert aside is not None
    assert (aside.read_text(), path.read_text()) == ("old", "new")
    assert write_file(path, "newer", PUBLIC_MODE, keep_old=False) is None
    assert sorted(tmp_path.iterdir()) == sorted([path, aside])


def test_a_path_that_cannot_be_written_is_reported_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="name another file with -c"):
        write_file(tmp_path / "file" / "a.yaml", "text", PUBLIC_MODE)


def test_the_packaged_unit_is_the_one_in_deploy():
    packaged = Path(written_files.__file__).with_name("wx2mqtt.service")
    assert packaged.read_text() == SHIPPED.read_text(), f"cp {SHIPPED} {packaged}"


def test_the_written_unit_is_the_shipped_one_with_the_paths_of_this_installation():
    password, urls = Path("/etc/w/mqtt.password"), Path("/etc/w/fallback.urls")
    secrets = SecretFiles(password=password, fallback=urls, bot_secret=Path("/etc/w/wecom.secret"))
    text = written_files.unit_text(Path("/etc/w/a.yaml"), secrets, "/opt/w/bin/wx2mqtt")
    assert "ExecStart=/opt/w/bin/wx2mqtt run -c /etc/w/a.yaml\n" in text
    assert "\nLoadCredential=mqtt.password:/etc/w/mqtt.password\n" in text
    assert "\nLoadCredential=accounts.home.fallback.urls:/etc/w/fallback.urls\n" in text
    assert "\nLoadCredential=accounts.home.wecom.secret:/etc/w/wecom.secret\n" in text
    assert "/opt/wx2mqtt/bin/wx2mqtt" not in text

    def lines(unit):
        return [
            line
            for line in unit.splitlines()
            if not re.search(r"ExecStart=|LoadCredential=(mqtt|accounts)|^#", line)
        ]

    assert lines(text) == lines(SHIPPED.read_text())


def test_without_secrets_the_unit_loads_no_credentials():
    text = written_files.unit_text(Path("/etc/w/a.yaml"), SecretFiles(), "/opt/w/bin/wx2mqtt")
    assert "\nLoadCredential=" not in text


def test_the_program_is_printed_by_name_where_the_shell_finds_it_and_else_by_its_path(tmp_path, monkeypatch):
    folder = tmp_path / "a b"
    folder.mkdir()
    (program := folder / "wx2mqtt").write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert written_files.printed_program() == f"'{program}'"
    monkeypatch.setenv("PATH", f"{tmp_path}:{folder}")
    assert written_files.printed_program() == "wx2mqtt"
    monkeypatch.setattr(sys, "argv", ["/x/wx2mqtt/__main__.py"])
    assert written_files.printed_program() == f"{shlex.quote(sys.executable)} -m wx2mqtt"


@every_row(
    ("paths", "hidden"),
    [
        (["/etc/wx2mqtt/a.yaml", "/opt/w/bin/wx2mqtt"], None),
        (["/home/me/a.yaml", "/opt/w/bin/wx2mqtt"], "/home/me/a.yaml"),
        (["/etc/a.yaml", "/run/user/0/wx2mqtt"], "/run/user/0/wx2mqtt"),
        (["/etc/a.yaml", "/root"], "/root"),
        (["/tmp/a.yaml"], "/tmp/a.yaml"),
        (["/homes/a.yaml"], None),
    ],
)
def test_what_a_service_in_its_sandbox_cannot_see_is_noticed(paths, hidden):
    assert written_files.hidden_path(*map(Path, paths)) == (None if hidden is None else Path(hidden))


@pytest.mark.parametrize(
    ("started", "command"),
    [
        ("/opt/w/bin/wx2mqtt", "/opt/w/bin/wx2mqtt"),
        ("/opt/w/lib/wx2mqtt/__main__.py", f"{sys.executable} -m wx2mqtt"),
    ],
)
def test_the_service_starts_the_program_as_setup_was_started(monkeypatch, started, command):
    monkeypatch.setattr(sys, "argv", [started, "setup"])
    assert written_files.program_path() == command


def test_the_service_may_enter_the_folder_whatever_the_umask_of_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    before = os.umask(0o077)
    try:
        write_file(tmp_path / "etc" / "wx2mqtt" / "wx2mqtt.yaml", "a: 1", PUBLIC_MODE)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("etc", "etc/wx2mqtt")] == [0o755] * 2
    assert stat.S_IMODE((tmp_path / "etc/wx2mqtt/wx2mqtt.yaml").stat().st_mode) == PUBLIC_MODE


@pytest.mark.parametrize(
    ("group", "expected"), [(os.getgid(), 0o640), (61_500, 0o600)], ids=["of its own", "of DynamicUser"]
)
def test_a_secret_is_for_the_group_of_the_service_where_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int, expected: int
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _, uid, gid: given.append((uid, gid)))
    entry = pwd.struct_passwd(("wx2mqtt", "x", group, group, "", "/", "/bin/false"))
    monkeypatch.setattr(pwd, "getpwnam", lambda _: entry)
    write_file(tmp_path / "mqtt.password", "secret", PRIVATE_MODE, keep_old=False)
    assert stat.S_IMODE((tmp_path / "mqtt.password").stat().st_mode) == expected
    assert given == ([(0, group)] if expected == 0o640 else [])
