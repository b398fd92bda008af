"""The way to a broker, stage by stage, for whoever wants to know at which one it ends: name, TCP, TLS.

Each opens a connection of its own and closes it without a word. All are bounded in time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from wx2mqtt.apart import apart
from wx2mqtt.mqtt.addresses import Address
from wx2mqtt.mqtt.opening import connect, secure, tls_context
from wx2mqtt.mqtt.options import TlsFiles

T = TypeVar("T")

NAMING = 10.0
"""Seconds for the name service; its own patience is longer where its server is away."""
CONNECTING = 10.0
"""Seconds for TCP, and again with TLS."""
NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: dates are judged apart from who signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """TLS as it is spoken there. `certificate` is what was shown, in binary form; `untrusted` says why its
    authority is not accepted (OpenSSL's code and words), dates and names aside; None where it is.
    """

    version: str
    certificate: bytes
    untrusted: tuple[int, str] | None


async def resolve(address: Address) -> tuple[str, ...]:
    """The addresses of the host, each once. Raises OSError (`gaierror`, `TimeoutError`)."""
    asked = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
    found = await _within(NAMING, asked)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


async def reach(address: Address) -> float:
    """How many seconds a connection took. Raises OSError."""
    began = time.monotonic()
    await _within(CONNECTING, lambda: connect(address).close())
    return time.monotonic() - began


async def shake_hands(address: Address, files: TlsFiles | None) -> Handshake:
    """TLS with whoever is there. Raises OSError (`ssl.SSLError` where there is none)."""
    version, certificate = await _within(CONNECTING, lambda: _shown(address, files))
    untrusted = await _within(CONNECTING, lambda: _untrusted(address, files))
    return Handshake(version=version, certificate=certificate, untrusted=untrusted)


def _shown(address: Address, files: TlsFiles | None) -> tuple[str, bytes]:
    context = tls_context(files)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only looked at: nothing is sent
    with _secured(context, address) as secured:
        return secured.version() or "", secured.getpeercert(binary_form=True) or b""


def _untrusted(address: Address, files: TlsFiles | None) -> tuple[int, str] | None:
    context = tls_context(files)
    context.check_hostname = False
    context.verify_flags |= NO_CHECK_TIME  # Python has no name for it
    try:
        _secured(context, address).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message
    return None


def _secured(context: ssl.SSLContext, address: Address) -> ssl.SSLSocket:
    plain = connect(address)
    try:
        return secure(context, plain, address.host)
    except BaseException:
        plain.close()
        raise


async def _within(seconds: float, work: Callable[[], T]) -> T:
    try:
        return await asyncio.wait_for(apart(work), seconds)
    except ValueError as error:  # from idna and ssl; SSLCertVerificationError is an OSError first
        if isinstance(error, OSError):
            raise
        raise OSError(0, "the host name is not valid") from error
