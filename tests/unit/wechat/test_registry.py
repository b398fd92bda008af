"""An entry of the registry is all that the program needs to know of a backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from tests.unit.wechat.marks import FakeMarks
from wx2mqtt.app.configuration import backend_section
from wx2mqtt.clock import Clock
from wx2mqtt.diagnostics import wechat_hosts
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import diagnostic_target
from wx2mqtt.errors import SettingsError
from wx2mqtt.model import Handle
from wx2mqtt.schemas.status import status_definitions
from wx2mqtt.settings.cross_key_rules import rule_findings
from wx2mqtt.settings.schema import Account, BackendName, Expect, Pin, Settings, WebWx
from wx2mqtt.wechat.backend import Capabilities
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.registry import BACKENDS, backend_entry


class FakeCredentialStore:
    async def load(self) -> None:
        return None

    async def save(self, session: Any) -> None: ...

    async def clear(self) -> None: ...


async def no_quote(_id: str, _chat: Handle) -> None:
    return None


def create_backend(settings: Settings) -> Any:
    account = settings.accounts["main"]
    entry = backend_entry(account.backend, key="accounts.main.backend")
    options = BackendOptions(
        credentials=FakeCredentialStore(),
        observe=lambda *_: None,
        quote_lookup=no_quote,
        marks=FakeMarks(),
        endpoint=account.endpoint,
        language=settings.language,
        section=backend_section(account),
        clock=Clock(),
    )
    return entry.create(options)


def settings_with_account(model: type[Account] = Account, /, **account: Any) -> Settings:
    """Returns settings with one account, whatever its backend is called."""
    main = model.model_construct(**dict(model()) | account)
    return Settings().model_copy(update={"accounts": {"main": main}})


def test_the_configuration_names_each_backend_and_has_its_section() -> None:
    assert set(get_args(BackendName)) == set(BACKENDS)
    assert set(BACKENDS) <= set(Account.model_fields)


def test_every_key_of_a_pin_and_of_expect_belongs_to_a_backend() -> None:
    assert {key for entry in BACKENDS.values() for key in entry.pin_keys} == set(Pin.model_fields)
    assert {key for entry in BACKENDS.values() for key in entry.expect_keys} == set(Expect.model_fields)


@pytest.mark.parametrize("name", BACKENDS)
async def test_each_backend_is_made_from_the_settings_of_its_account(name: str) -> None:
    backend = create_backend(settings_with_account(backend=name))
    assert backend.capabilities is BACKENDS[name].capabilities
    assert backend.capabilities.backend == name
    await backend.close()


async def test_secrets_of_a_section_reach_the_backend_as_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[BackendOptions] = []

    def create_nothing(options: BackendOptions) -> Any:
        created.append(options)

    entry = replace(BACKENDS["webwx"], create=create_nothing)
    monkeypatch.setitem(BACKENDS, "webwx", entry)
    account = Account.model_validate({"webwx": {"desktop": {"client_version": "1", "extspam": "geheim"}}})
    create_backend(settings_with_account(webwx=account.webwx))
    assert created[0].section["desktop"] == {"client_version": "1", "extspam": "geheim", "extspam_file": None}


def test_an_unknown_backend_fails_with_a_sentence() -> None:
    with pytest.raises(SettingsError) as caught:
        create_backend(settings_with_account(backend="telegram"))
    assert (
        "accounts.main.backend: 'telegram' is no backend of this program; it has webwx, ilink, wecom"
        in str(caught.value)
    )
    with pytest.raises(SettingsError):
        backend_entry("")


async def test_a_new_backend_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    class ToyAccount(Account):
        toy: WebWx = WebWx()

    class Toy:
        capabilities = Capabilities(
            backend="toy",
            has_contacts=False,
            has_groups=False,
            can_start_chat=True,
            handles_change_at_login=False,
            text_limit=1,
        )

    entry = replace(
        BACKENDS["webwx"],
        name="toy",
        title="Toy",
        capabilities=Toy.capabilities,
        create=lambda _options: Toy(),  # type: ignore[arg-type, return-value]
        host_origins=lambda _endpoint, _saved: ("http://toy.invalid",),
        pin_keys=frozenset({"alias"}),
        foreign_pin="a toy knows no {kind}",
        expect_keys=frozenset(),
    )
    monkeypatch.setitem(BACKENDS, "toy", entry)
    settings = settings_with_account(ToyAccount, backend="toy", contacts={"a": Pin(remark="A")})

    assert isinstance(create_backend(settings), Toy)
    assert [
        str(finding.message) for finding in rule_findings(settings, BACKENDS) if finding.path[0] == "accounts"
    ] == ["a toy knows no remark"]
    asked: list[str] = []

    async def check_hosts(origins: Any, **_more: Any) -> tuple[()]:
        asked.extend(origins)
        return ()

    monkeypatch.setattr(wechat_hosts, "check_hosts", check_hosts)
    await wechat_hosts.check_wechat(diagnostic_target(settings, {}), CheckReport("en"))
    assert asked == ["http://toy.invalid"]
    assert "toy" in str(status_definitions()["info"])
