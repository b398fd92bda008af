"""Checks of addresses in the configuration: broker URLs, base URLs, hosts, listen addresses. Pure.

    validate_broker_url("mqtt://10.0.0.2:1883")  ->  the same
    validate_broker_url("10.0.0.2")              ->  ValueError: "has no scheme; write mqtt://host:1883 (or …"

Each `validate_...` function returns the value to use, or raises ValueError with a sentence. No sentence
repeats the address, since people write passwords into them.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, parse_qs, urlsplit

EMBEDDED = "embedded"
BROKER_SCHEMES = ("mqtt", "mqtts", "ws", "wss", "unix")
TLS_SCHEMES = ("mqtts", "wss")

_DATABASE_URL = re.compile(
    r"postgres(?:ql)?://(?:[^:@/?]*(?::(?P<password>[^@/?]*))?@)?[^@/?]*(?:/[^/?]*)?(?:\?(?P<query>.*))?"
)

_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII)


def validate_broker_url(url: str) -> str:
    """Checks the URL of a broker, or the word `embedded`."""
    if url == EMBEDDED:
        return url
    if "://" not in url and not url.startswith("unix:"):
        raise ValueError("has no scheme; write mqtt://host:1883 (or mqtts, ws, wss, unix, or embedded)")
    parts = _split(url)
    if parts.scheme not in BROKER_SCHEMES:
        raise ValueError(f"the scheme must be one of {', '.join(BROKER_SCHEMES)}, or the whole word embedded")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "user name and password do not belong into the URL;"
            " put them into mqtt.username and mqtt.password_file"
        )
    _refuse_query(parts)
    if parts.scheme == "unix":
        if parts.netloc or not parts.path.startswith("/") or parts.path == "/":
            raise ValueError("write the absolute path of the socket: unix:///run/mosquitto/mosquitto.sock")
        return f"unix://{parts.path}"
    _check_host_and_port(parts)
    if parts.scheme in {"mqtt", "mqtts"} and parts.path not in {"", "/"}:
        raise ValueError("mqtt and mqtts have no path; for MQTT over WebSocket write ws or wss")
    return url


def validate_base_url(url: str) -> str:
    """Checks the http or https URL of a server; returns it without a / at its end."""
    parts = _split(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must begin with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user name and password do not belong into this URL; remove them")
    _refuse_query(parts)
    _check_host_and_port(parts)
    return url.rstrip("/")


def validate_database_url(url: str) -> str:
    """Checks the URL of a PostgreSQL database. It may name several hosts, and parameters of libpq."""
    if re.search(r"[\x00-\x20\x7f#]", url):
        raise ValueError("holds white space, control characters or #")
    match = _DATABASE_URL.fullmatch(url)
    if match is None:
        raise ValueError("must begin with postgresql://, as in postgresql://wx2mqtt@db.example.com/wx2mqtt")
    if match["password"] is not None or "password" in parse_qs(match["query"] or ""):
        raise ValueError("the password does not belong into the URL; put it into storage.password_file")
    return url


def validate_host_name(host: str) -> str:
    """Checks a host name or IP address without port."""
    if _is_address(_without_brackets(host)) or _HOST.fullmatch(host):
        return host
    raise ValueError("is no host name; write the name alone, without http:// and port")


def validate_network(text: str) -> str:
    """Checks an IP address or a network such as 192.168.1.0/24."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("is no address and no network such as 192.168.1.0/24 (host bits zero)") from None
    return text


def validate_address(text: str) -> str:
    if not _is_address(text):
        raise ValueError("is no IP address such as 172.30.32.2")
    return text


def validate_listen_address(text: str) -> str:
    """Checks `host:port`, where the host is an IP address or localhost. Port 0 is any that is free."""
    split_listen_address(text)
    return text


def split_listen_address(text: str) -> tuple[str, int]:
    """Splits `host:port` into host (without brackets) and port; raises ValueError with a sentence."""
    written_host, _, port = text.rpartition(":")
    host = _without_brackets(written_host)
    is_host = host == "localhost" or (_is_address(host) and (":" not in host or host != written_host))
    if not is_host or not re.fullmatch("[0-9]{1,5}", port, re.ASCII):
        raise ValueError("must be an address and a port, such as 127.0.0.1:8099 or [::1]:8099")
    if int(port) > 65535:
        raise ValueError("a port is a number up to 65535")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach the host."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def validate_url_path(path: str) -> str:
    """Checks the path of a web page: it must start with one slash; returns it without one at its end."""
    if not path.startswith("/") or path.startswith("//") or re.search(r"[\s?#\\]|\.\.", path):
        raise ValueError("must be a path that begins with one /, such as / or /wechat")
    return path.rstrip("/") or "/"


def _split(url: str) -> SplitResult:
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("holds white space or control characters")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("is no URL; write an IPv6 address in [ ]") from None


def _refuse_query(parts: SplitResult) -> None:
    if parts.query or parts.fragment:
        raise ValueError("must end with its path: remove ? or # and what follows")


def _check_host_and_port(parts: SplitResult) -> None:
    try:
        is_port = parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError:  # a text, or a number above 65535
        is_port = False
    if not is_port:
        raise ValueError("the port must be a number from 1 to 65535")
    if not parts.hostname:
        raise ValueError("has no host")
    if not _is_address(parts.hostname) and not _HOST.fullmatch(parts.hostname):
        raise ValueError("the host is no valid name or address")


def _without_brackets(host: str) -> str:
    """Returns the address inside of `[ ]`; a text with only one of the two stays as it is."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
