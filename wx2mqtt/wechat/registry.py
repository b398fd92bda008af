"""The table of backends, with all that the rest of the program needs to know about each.

A new backend is a package beside this file, an entry here, and in `settings/schema.py` a section and a
`BackendName`, with keys of `Pin` and `Expect` if it has its own; the demo names the two that the
simulator speaks. Packages of this layer (settings, mqtt) must not import this file; they get what they
need of an entry as parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from wx2mqtt.clock import Clock
from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.i18n import Language
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import (
    Backend,
    CallObserver,
    Capabilities,
    CredentialStore,
    MessageMarks,
    QuoteLookup,
)
from wx2mqtt.wechat.ilink.protocol import endpoints as ilink_endpoints
from wx2mqtt.wechat.ilink.protocol import session as ilink_session
from wx2mqtt.wechat.webwx.protocol import endpoints as webwx_endpoints
from wx2mqtt.wechat.webwx.protocol import session as webwx_session


@frozen
class BackendOptions:
    """The parameters of a backend.

    `endpoint` is a base URL that replaces all of WeChat's hosts, or None. `section` is the backend's own
    section of the configuration as plain values; secrets are texts.
    """

    credentials: CredentialStore
    observe: CallObserver
    quote_lookup: QuoteLookup
    marks: MessageMarks
    endpoint: str | None
    language: Language
    section: Mapping[str, Any]
    clock: Clock = Clock()


class SetupContacts(StrEnum):
    """The contacts for which `wx2mqtt setup` asks: those that the backend knows before anybody wrote."""

    PEOPLE = "people"
    OWNER = "owner"


@frozen
class BackendEntry:
    """One backend.

    - `name`: the value of `accounts.<account>.backend`, and the name of its section of the configuration.
    - `title`: its name in sentences.
    - `create`: imports the backend, which loads its HTTP client.
    - `host_origins`: returns the origins (scheme and host) that `wx2mqtt check --connect` requests with
      `http_headers`; its parameters are the `endpoint` and the saved login.
    - `pin_keys`: the keys below `contacts.<user>` that can match a contact; `foreign_pin` is the warning
      about any other one, and may contain `{kind}`.
    - `expect_keys`: the keys below `expect` that the backend can check.
    - `setup_contacts`: the contacts for which `wx2mqtt setup` asks; `setup_choice` is its line there, in
      English and Chinese.
    - `is_saved_login`: returns whether a saved session is a login of this backend.
    """

    name: str
    title: str
    capabilities: Capabilities
    create: Callable[[BackendOptions], Backend]
    host_origins: Callable[[str | None, Mapping[str, object]], Iterable[str]]
    http_headers: Mapping[str, str]
    pin_keys: frozenset[str]
    foreign_pin: str
    expect_keys: frozenset[str]
    setup_contacts: SetupContacts
    setup_choice: tuple[str, str]
    is_saved_login: Callable[[Mapping[str, object]], bool]

    @property
    def has_reply_window(self) -> bool:
        """Whether WeChat accepts messages only for some time after a person wrote."""
        return self.capabilities.has_reply_window


def backend_entry(name: str, *, key: str = "backend") -> BackendEntry:
    """Returns the entry with this name. Raises `SettingsError` that names the `key` of the configuration."""
    entry = BACKENDS.get(name)
    if entry is None:
        text = f"'{name}' is no backend of this program; it has {', '.join(BACKENDS)}"
        raise SettingsError((Problem("the settings", 0, key, text),))
    return entry


def _create_webwx(options: BackendOptions) -> Backend:
    from wx2mqtt.wechat.webwx.backend import WebWxBackend  # noqa: PLC0415 - loads no other backend
    from wx2mqtt.wechat.webwx.protocol.requests import DesktopClient  # noqa: PLC0415

    desktop = options.section["desktop"]
    version, extspam = desktop["client_version"], desktop["extspam"]
    return WebWxBackend(
        options.credentials,
        endpoint=options.endpoint,
        desktop=DesktopClient(client_version=version, extspam=extspam) if version and extspam else None,
        language=options.language,
        observe=options.observe,
        marks=options.marks,
        clock=options.clock,
    )


def _create_ilink(options: BackendOptions) -> Backend:
    from wx2mqtt.wechat.ilink.backend import ILinkBackend  # noqa: PLC0415 - loads no other backend

    return ILinkBackend(
        options.credentials,
        endpoint=options.endpoint,
        hosts=options.section["hosts"],
        show_typing=options.section["typing"],
        quote_lookup=options.quote_lookup,
        marks=options.marks,
        language=options.language,
        observe=options.observe,
        clock=options.clock,
    )


_WEBWX = BackendEntry(
    name="webwx",
    title="web WeChat",
    capabilities=webwx_endpoints.CAPABILITIES,
    create=_create_webwx,
    host_origins=webwx_session.host_origins,
    http_headers=webwx_endpoints.WEBWX_HEADERS,
    pin_keys=frozenset({"remark", "alias", "nickname", "group"}),
    foreign_pin="{kind} exists only on iLink; on webwx nobody will match",
    expect_keys=frozenset({"uin", "nickname"}),
    setup_contacts=SetupContacts.PEOPLE,
    setup_choice=("webwx: web WeChat, your own account", "webwx：网页版微信，你自己的账号"),
    is_saved_login=webwx_session.is_saved_login,
)

_ILINK = BackendEntry(
    name="ilink",
    title="iLink",
    capabilities=ilink_endpoints.CAPABILITIES,
    create=_create_ilink,
    host_origins=ilink_session.host_origins,
    http_headers=ilink_endpoints.ILINK_HEADERS,
    pin_keys=frozenset({"ilink", "owner"}),
    foreign_pin="iLink tells no {kind}; write owner: true, or ilink: <id>",
    expect_keys=frozenset({"ilink"}),
    setup_contacts=SetupContacts.OWNER,
    setup_choice=("ilink: Tencent's bot API, a bot of your own", "ilink：腾讯的机器人接口，你自己的机器人"),
    is_saved_login=ilink_session.is_saved_login,
)

# By name. The first one is the default of the configuration.
BACKENDS: dict[str, BackendEntry] = {entry.name: entry for entry in (_WEBWX, _ILINK)}
