"""What the demo prints: addresses, and commands that work as they are printed, at any broker of `--broker`.

A password is typed into a variable of the shell, and is never printed.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wx2mqtt.demo.configuration import DEMO_SENDER, BrokerLogin
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.setup import demo_text
from wx2mqtt.mqtt.options import parse_broker_url
from wx2mqtt.settings.addresses import EMBEDDED, validate_broker_url
from wx2mqtt.settings.schema import Settings
from wx2mqtt.values import frozen

PASSWORD_VARIABLE = "MQTT_PASSWORD"  # noqa: S105 - the name of a variable

# Where the items of the explanation begin.
ITEM_COLUMN = 18


@frozen
class DemoAccount:
    """One account of a demo: its phone, and where it is written to."""

    name: str
    backend: str
    phone: str
    #: The topic name to which the printed command sends, below `base`.
    user: str
    base: str


@frozen
class DemoSender:
    """A sender of `web.senders`, as the printed command uses it."""

    #: The token in a shell's double quotes: itself, or the command that reads its file.
    token: str
    #: To whom it sends: a name, or account/name; empty for the first person of the first account.
    to: str


@frozen
class DemoAddresses:
    """Where the parts of a demo are."""

    #: At least one.
    accounts: Sequence[DemoAccount]
    page: str
    broker: BrokerLogin
    #: Whether others use the broker, too.
    is_shared: bool
    #: Not known of a broker that others use, and true then.
    speaks_mqtt_5: bool
    #: Where files are that may be sent by `path`.
    files: Path
    senders: Sequence[DemoSender]
    #: When the imitated service gets what is urgent, in seconds; None where no account has such a service.
    fallback_seconds: float | None
    #: The file with which commands of `wx2mqtt` find this bridge.
    control_file: Path


def senders_of(settings: Settings) -> Sequence[DemoSender]:
    """Returns the senders whose token may be shown, or is in a file; a file's own token is never printed."""
    senders = []
    for sender in settings.web.senders:
        token = ""
        if sender.token_file is not None:
            token = f"$(cat {shlex.quote(str(sender.token_file))})"
        elif sender.name == DEMO_SENDER and sender.token is not None:
            token = sender.token.get_secret_value()
        senders.append(DemoSender(token=token or "TOKEN", to=sender.to or ""))
    return senders


def explanation(addresses: DemoAddresses, language: Language) -> str:
    """Returns the text for a person at a terminal."""
    broker, accounts = addresses.broker, addresses.accounts
    remarks = []
    if not addresses.speaks_mqtt_5:
        remarks.append(demo_text(language, "mqtt_3"))
    if parse_broker_url(broker.url).websocket:
        remarks.append(demo_text(language, "no_websocket"))
    options = client_options(broker)
    password = demo_text(language, "password", variable=PASSWORD_VARIABLE) if broker.password else ""
    dinner = demo_text(language, "dinner")
    after = addresses.fallback_seconds
    return demo_text(
        language,
        "explanation",
        scope=demo_text(language, "shared" if addresses.is_shared else "local"),
        phones=_lines(_phone_line(account, len(accounts), language) for account in accounts),
        broker=broker.url + "".join(remarks),
        page=addresses.page,
        password=password,
        options=options,
        filters=" ".join(f"-t '{account.base}/+/+' -T {account.base}/login/qr" for account in accounts),
        commands=_lines(
            f"mosquitto_pub {options} -q 1 -t {account.base}/out/{account.user} -m '{dinner}'"
            for account in accounts
        ),
        files=addresses.files,
        sender="".join(_sender_line(sender, addresses, language) for sender in addresses.senders[:1]),
        fallback="" if after is None else demo_text(language, "fallback", seconds=f"{after:g}"),
        program=_program(),
        control=addresses.control_file,
        user=accounts[0].user,
    )


def _sender_line(sender: DemoSender, addresses: DemoAddresses, language: Language) -> str:
    user = sender.to or addresses.accounts[0].user
    return demo_text(language, "sender", token=sender.token, page=addresses.page, user=user)


def _program() -> str:
    """Returns how this program was called, for commands that are to be copied."""
    called = Path(sys.argv[0]).absolute()
    return (
        shlex.quote(str(called)) if called.name == "wx2mqtt" else f"{shlex.quote(sys.executable)} -m wx2mqtt"
    )


def _phone_line(account: DemoAccount, count: int, language: Language) -> str:
    action = demo_text(language, f"action_{account.backend}")
    return (
        f"{account.phone}/      {action}" if count == 1 else f"{account.phone}/      {account.name}: {action}"
    )


def _lines(lines: Iterable[str]) -> str:
    """Returns the lines as one item of the explanation, each below the other."""
    return f"\n{' ' * ITEM_COLUMN}".join(lines)


def client_options(broker: BrokerLogin) -> str:
    """Returns the options with which mosquitto_pub and mosquitto_sub reach a broker, quoted for a shell.

    They speak no WebSocket: of a broker with `ws` or `wss` they get the host, and take their default port.
    """
    address = parse_broker_url(broker.url)
    if address.unix:
        options = ["--unix", address.path]
    elif address.websocket:
        options = ["-h", address.host]
    else:
        options = ["-h", address.host, "-p", str(address.port)]
    if address.scheme == "mqtts":
        options.append("--tls-use-os-certs")
    if broker.username is not None:
        options += ["-u", broker.username]
    quoted = shlex.join(options)
    return f'{quoted} -P "${PASSWORD_VARIABLE}"' if broker.password else quoted


def broker_login(url: str) -> BrokerLogin:
    """Splits `mqtt://name:password@host:1883`. Raises ValueError with a sentence."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return BrokerLogin(url=validate_broker_url(url))
    address = validate_broker_url(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    if address == EMBEDDED:
        raise ValueError("without --broker the demo has an embedded broker")
    name, password = parts.username, parts.password
    return BrokerLogin(
        url=address,
        username=None if name is None else unquote(name),
        password=None if password is None else unquote(password),
    )
