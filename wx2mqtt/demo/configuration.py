"""The settings of the demo: its own, or those of a file without what lies outside of the machine.

Of a file of one's own the demo takes what the bridge does (contacts, hold, plain, history, fallback, senders
…). It replaces WeChat, the broker, the services of `fallback`, the addresses of the web server and the store.
A file without accounts gets the account that the demo has without a file.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from wx2mqtt.i18n import Language
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import (
    FIRST_BACKEND,
    Account,
    Cluster,
    Expect,
    Fallback,
    HomeAssistant,
    Media,
    Mqtt,
    Pin,
    Plain,
    Send,
    Sender,
    Settings,
    Storage,
    Web,
    WeCom,
)
from wx2mqtt.simulator.wecom.people import chatid_of, userid_of
from wx2mqtt.values import frozen

DemoBackend = Literal["ilink", "wecom", "webwx"]

DEMO_PINS: dict[DemoBackend, dict[str, Pin]] = {
    "webwx": {"wife": Pin(remark="老婆"), "family": Pin(group="相亲相爱一家人")},
    "ilink": {"me": Pin(owner=True)},
    "wecom": {"me": Pin(wecom=userid_of("me")), "family": Pin(wecom=chatid_of("family"))},
}

DEMO_ACCOUNT = "home"
DEMO_CLIENT_ID = "wx2mqtt-demo"  # at a broker that others use, too
DEMO_SENDER = "demo"
SAMPLE_PICTURE = "door.jpg"

# As `plain: true` in a file: the text of a minute at most.
PLAIN_SECONDS = 60.0

_LOOPBACK = ("127.0.0.1", "localhost")


@frozen
class BrokerLogin:
    """A broker that runs already, with user name and password if it asks for them."""

    url: str
    username: str | None = None
    password: str | None = None


@frozen
class DemoParts:
    """The addresses of the parts with which the demo replaces the world, and its folder."""

    #: The simulated WeChat of each account, by its name.
    phones: Mapping[str, str]
    broker: BrokerLogin
    #: Whether others use the broker, too.
    is_shared: bool
    #: Where the web server listens: host and port.
    web: str
    #: The apprise URL of the imitated service for the fallback.
    service: str
    folder: Path
    language: Language

    @property
    def files(self) -> Path:
        """The folder from which files may be sent by `path`."""
        return self.folder / "files"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def control_file(self) -> Path:
        """The configuration with which `wx2mqtt ask` and `wx2mqtt journal` find the bridge of the demo."""
        return self.folder / "wx2mqtt.yaml"


def demo_settings(backend: DemoBackend, parts: DemoParts) -> LoadedSettings:
    """Returns what the demo has without a file: what the pages for users show, on one account."""
    _put_sample_picture(parts.files)
    sender = Sender(name=DEMO_SENDER, token=SecretStr(secrets.token_hex(16)), users=("*",))
    settings = Settings(
        mqtt=_broker(Mqtt(), parts),
        accounts={DEMO_ACCOUNT: _demo_account(backend, DEMO_ACCOUNT, parts)},
        homeassistant=HomeAssistant(enabled=True, expose=_exposed(backend)),
        web=Web(listen=parts.web, url=f"http://{parts.web}", senders=(sender,)),
        storage=Storage(path=str(parts.store)),
        language=parts.language,
    )
    return LoadedSettings(settings=settings, path=None)


def own_settings(loaded: LoadedSettings, parts: DemoParts) -> LoadedSettings:
    """Returns the settings of a file with the parts of the demo in place of the world."""
    _put_sample_picture(parts.files)
    settings = loaded.settings
    web = {"enabled": True, "listen": parts.web, "url": f"http://{parts.web}", "base_path": "/"}
    beside = {"senders_listen": None, "ntfy_listen": None, "ingress": None, "trusted_proxies": ()}
    replaced = {
        "mqtt": _broker(settings.mqtt, parts),
        "accounts": _accounts(settings, parts),
        "web": settings.web.model_copy(update={**web, **beside}),
        "storage": Storage(path=str(parts.store), max_size=settings.storage.max_size),
        "cluster": Cluster(),
    }
    # Without its path: a reload would bring the file's own services back.
    return replace(loaded, settings=settings.model_copy(update=replaced), path=None)


def write_control_file(settings: Settings, parts: DemoParts) -> None:
    """Writes what a command needs to find the running bridge: where its store is, and its accounts."""
    accounts = {name: {"backend": account.backend} for name, account in settings.accounts.items()}
    known = {"language": settings.language, "storage": {"path": str(parts.store)}, "accounts": accounts}
    parts.control_file.write_text(json.dumps(known, ensure_ascii=False) + "\n")  # JSON is YAML


def _demo_account(backend: DemoBackend, name: str, parts: DemoParts) -> Account:
    """Returns the account that the demo has where no file names one."""
    return Account(
        backend=backend,
        endpoint=parts.phones[name],
        contacts=DEMO_PINS[backend],
        send=Send(per_minute=0),
        fallback=Fallback(urls=(SecretStr(parts.service),)),
        media=Media(allow_hosts=_LOOPBACK, send_from=(parts.files,)),
        plain=Plain(max_age=PLAIN_SECONDS),
    )


def _accounts(settings: Settings, parts: DemoParts) -> Mapping[str, Account]:
    if "accounts" not in settings.model_fields_set:
        return {name: _demo_account(FIRST_BACKEND, name, parts) for name in settings.accounts}
    return {name: _account(account, parts.phones[name], parts) for name, account in settings.accounts.items()}


def _account(account: Account, phone: str, parts: DemoParts) -> Account:
    """Returns an account of a file on its simulated WeChat, where neither its owner nor its bot is known."""
    media, fallback = account.media, account.fallback
    urls = (SecretStr(parts.service),) if fallback.urls else ()
    replaced = {
        "endpoint": phone,
        "expect": Expect(),
        "wecom": account.wecom.model_copy(
            update={key: None for key in ("bot_id", "secret", "secret_file") if key in WeCom.model_fields}
        ),
        "fallback": fallback.model_copy(update={"urls": urls, "urls_file": None}),
        "media": media.model_copy(
            update={
                "allow_hosts": (*media.allow_hosts, *_LOOPBACK),
                "send_from": (*media.send_from, parts.files),
            }
        ),
    }
    return account.model_copy(update=replaced)


def _broker(mqtt: Mqtt, parts: DemoParts) -> Mqtt:
    broker = parts.broker
    return Mqtt(
        url=(broker.url,),
        username=broker.username,
        password=None if broker.password is None else SecretStr(broker.password),
        client_id=DEMO_CLIENT_ID if parts.is_shared else None,
        response_topics=mqtt.response_topics,
    )


def _exposed(backend: DemoBackend) -> tuple[str, ...]:
    """Returns who is shown in Home Assistant; a group of WeCom is known once somebody has written in it."""
    names = tuple(DEMO_PINS[backend])
    return names[:1] if backend == "wecom" else names


def _put_sample_picture(folder: Path) -> None:
    """Puts a picture into the folder, unless it has one of this name already."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / SAMPLE_PICTURE
    if not picture.exists():
        picture.write_bytes(files("wx2mqtt.simulator.samples").joinpath("image.jpg").read_bytes())
