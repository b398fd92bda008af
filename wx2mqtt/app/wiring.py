"""From settings to the bridge's own words: the one place that knows both. Makes values, starts nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from wx2mqtt.bridge.expected import Expected
from wx2mqtt.bridge.files.taking import Reach
from wx2mqtt.bridge.filters import Filters
from wx2mqtt.bridge.homeassistant import Exposure
from wx2mqtt.bridge.judge import Rules
from wx2mqtt.bridge.media.rules import MediaRules
from wx2mqtt.bridge.people.evidence import Pin
from wx2mqtt.bridge.sending.fallback import FallbackRules
from wx2mqtt.bridge.sending.holding import HoldRules
from wx2mqtt.bridge.wishes import Wishes
from wx2mqtt.model import Json
from wx2mqtt.mqtt.discovery import birth_topic
from wx2mqtt.mqtt.link import Publication, Subscription
from wx2mqtt.mqtt.options import Options, TlsFiles, WantedProtocol
from wx2mqtt.mqtt.topics import TEXT, Topics
from wx2mqtt.settings.load import Loaded
from wx2mqtt.settings.schema import Account as AccountSettings
from wx2mqtt.settings.schema import Settings, Web
from wx2mqtt.wechat.gateway import Gateway, Lookup, Vault

Observe = Callable[[str, str, float], None]


def wishes_of(loaded: Loaded, name: str, bases: tuple[str, ...], web: Web | None = None) -> Wishes:
    """What the owner wants of one account and may change while the bridge runs.

    `web` are the settings with which the web server runs, where a reload has brought others.
    """
    settings = loaded.settings
    account = settings.accounts[name]
    return Wishes(
        rules=Rules(
            allow=account.send.allow,
            ttl=account.send.ttl,
            bases=bases,
            discovery_prefix=settings.homeassistant.prefix,
            language=settings.language,
            size_limit=f"{settings.storage.max_size / 1_000_000:g} MB",
            reach=Reach(send_from=account.media.send_from, allow_hosts=account.media.allow_hosts),
        ),
        filters=Filters(
            allow=account.receive.allow,
            deny=account.receive.deny,
            groups=account.receive.groups,
            own=account.receive.own,
        ),
        media=MediaRules(
            download=account.media.download,
            max_size=account.media.max_size,
            inline_below=account.media.inline_below,
            base=media_base(web or settings.web),
        ),
        plain=account.plain,
        per_minute=account.send.per_minute,
        burst=account.send.burst,
        pins=pins_of(account),
        named=frozenset(account.contacts) | frozenset(exposed(settings, name)),
        language=settings.language,
        expected=Expected(
            uin=account.expect.uin or "",
            nickname=account.expect.nickname or "",
            ilink=account.expect.ilink or "",
        ),
        exposure=exposure_of(settings, name),
        public=public_settings(account),
        warnings=tuple(map(str, loaded.warnings)),
        hold=HoldRules(most=account.hold.max, ttl=account.hold.ttl),
        fallback=FallbackRules(
            after=account.fallback.after, urls=tuple(url.get_secret_value() for url in account.fallback.urls)
        ),
    )


def exposure_of(settings: Settings, name: str) -> Exposure:
    """What Home Assistant is to see of one account; the page only where it has an address for others."""
    wanted, web, account = settings.homeassistant, settings.web, settings.accounts[name]
    # With a window a message may wait for the person, and not only for the login.
    waits = account.hold.ttl if account.backend == "ilink" else account.send.ttl
    return Exposure(
        enabled=wanted.enabled,
        prefix=wanted.prefix,
        expose=exposed(settings, name),
        url=web.url or "" if web.enabled else "",
        expiry=max(1, int(waits)),
        language=settings.language,
    )


def exposed(settings: Settings, name: str) -> tuple[str, ...]:
    """The names of one account that Home Assistant is to know; `account/name` where there are several."""
    split = (one.rpartition("/") for one in settings.homeassistant.expose)
    return tuple(dict.fromkeys(user for account, _, user in split if account in ("", name)))


def pins_of(account: AccountSettings) -> dict[str, Pin]:
    """Whom the owner named."""
    return {
        level: Pin(
            remark=pin.remark or "",
            alias=pin.alias or "",
            nickname=pin.nickname or "",
            group=pin.group or "",
            ilink=pin.ilink or "",
            owner=pin.owner,
        )
        for level, pin in account.contacts.items()
    }


MEDIA_SHOWN = {"download", "max_size", "keep", "max_total", "inline_below"}
"""Not the folders and hosts from which files may be sent: they say how the house is built."""


def public_settings(account: AccountSettings) -> dict[str, Json]:
    """The settings that `bridge/info` shows: nothing that is, holds or leads to a secret."""
    chosen = {"backend", "topic_names", "receive", "send", "hold", "history", "plain"}
    shown: dict[str, Json] = account.model_dump(mode="json", include=chosen)
    return {**shown, "media": account.media.model_dump(mode="json", include=MEDIA_SHOWN)}


def gateway_of(settings: Settings, name: str, vault: Vault, observe: Observe, said: Lookup) -> Gateway:
    """The backend of one account; `said` tells what a message said. Loads no other."""
    account = settings.accounts[name]
    if account.backend == "ilink":
        from wx2mqtt.wechat.ilink.gateway import ILink  # noqa: PLC0415 - see above

        return ILink(
            vault,
            endpoint=account.endpoint,
            hosts=account.ilink.hosts,
            typing=account.ilink.typing,
            said=said,
            language=settings.language,
            observe=observe,
        )
    from wx2mqtt.wechat.webwx.gateway import WebWx  # noqa: PLC0415 - see above
    from wx2mqtt.wechat.webwx.requests import Desktop  # noqa: PLC0415 - see above

    desktop = account.webwx.desktop
    version, spam = desktop.client_version, desktop.extspam
    wanted = Desktop(client_version=version, extspam=plain(spam) or "") if version and spam else None
    return WebWx(
        vault, endpoint=account.endpoint, desktop=wanted, language=settings.language, observe=observe
    )


def options_of(
    settings: Settings, name: str, topics: Topics, embedded: tuple[str, WantedProtocol] | None
) -> Options:
    """What the link of one account is told; `embedded` is where our own broker is and what it speaks."""
    mqtt = settings.mqtt
    tls = mqtt.tls
    home = settings.homeassistant
    births = (birth_topic(home.prefix),) if home.enabled else ()
    files = (tls.ca_file, tls.cert_file, tls.key_file)
    ca, cert, key = (None if file is None else Path(file) for file in files)
    return Options(
        urls=mqtt.url if embedded is None else (embedded[0],),
        client_id=settings.client_ids()[name],
        username=mqtt.username,
        password=plain(mqtt.password),
        protocol=mqtt.protocol if embedded is None else embedded[1],
        keepalive=mqtt.keepalive,
        tls=TlsFiles(ca_file=ca, cert_file=cert, key_file=key) if any(files) else None,
        will=Publication(topic=topics.state, payload=b"offline", retain=True, content_type=TEXT),
        subscriptions=tuple(Subscription(filter=one) for one in (*topics.subscriptions, *births)),
    )


def media_base(web: Web) -> str | None:
    """What the url of media begins with: our address from outside, else the path below which we are; None
    where there is no server.
    """
    if not web.enabled:
        return None
    return web.url or web.base_path.rstrip("/")


def plain(secret: SecretStr | None) -> str | None:
    """A secret, for whoever needs it."""
    return None if secret is None else secret.get_secret_value()
