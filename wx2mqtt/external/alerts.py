"""The one door to apprise: an alarm goes out by other services than WeChat. Off the loop, loaded when needed.

Its addresses are secrets: none is in an error or a log of ours, and apprise's own log is shut.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import structlog

from wx2mqtt.aio import run_in_daemon_thread

log = structlog.get_logger(__name__)

ALERT_TIMEOUT_SECONDS = 30.0  # seconds that all services together may take


class AlertOutcome(StrEnum):
    """What became of it. `UNCERTAIN`: a service was asked, and nobody knows what it did."""

    SENT = "sent"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What is to be said; `file` goes along where a service takes files."""

    title: str
    body: str
    file: Path | None = None


def is_installed() -> bool:
    """Whether apprise is there, without loading it."""
    return find_spec("apprise") is not None


async def send_alert(
    urls: Sequence[str], alert: Alert, timeout_seconds: float = ALERT_TIMEOUT_SECONDS
) -> AlertOutcome:
    """Tell all of these services, side by side; it is sent where one of them took it. Never raises."""
    asked = [asyncio.ensure_future(run_in_daemon_thread(partial(_told, url, alert))) for url in urls]
    if not asked:
        return AlertOutcome.FAILED
    done, open_ = await asyncio.wait(asked, timeout=timeout_seconds)
    for task in open_:
        task.cancel()
    took = sum(not task.exception() and task.result() for task in done)
    log.info("alarm raised", services=len(urls), took=took, silent=len(open_))
    if took:
        return AlertOutcome.SENT
    return AlertOutcome.UNCERTAIN if open_ else AlertOutcome.FAILED


def _told(url: str, alert: Alert) -> bool:
    try:
        import apprise  # noqa: PLC0415 - an extra, 20 MB, and only where something must not wait
    except ImportError:
        log.error("apprise is not installed; install wx2mqtt[fallback]")
        return False
    _hush()
    try:
        service = apprise.Apprise()
        if not service.add(url):
            log.error("a fallback url is none that apprise knows")
            return False
        attach = None if alert.file is None else str(alert.file)
        return bool(service.notify(title=alert.title, body=alert.body, attach=attach))
    except Exception as trouble:  # noqa: BLE001 - a plugin may raise anything, with the url in it
        log.error("a fallback service failed", kind=type(trouble).__name__)
        return False


def _hush() -> None:
    """Apprise and what it sends by write addresses with their tokens into their logs."""
    for name in ("apprise", "requests", "urllib3"):
        logger = logging.getLogger(name)
        logger.propagate, logger.disabled = False, True
