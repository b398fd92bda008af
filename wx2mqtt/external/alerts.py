"""Sends alerts by other services than WeChat; the only file that knows apprise.

The URLs of the services are secrets: no error and no log line here holds one, and the log of apprise is off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path

import structlog

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

ALERT_TIMEOUT_SECONDS = 30.0
"""Seconds for all services together."""


class AlertOutcome(StrEnum):
    """`UNCERTAIN`: no service has confirmed the alert, but one did not answer in time."""

    SENT = "sent"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


@frozen
class Alert:
    """The text of an alert; `file` is attached where a service accepts files."""

    title: str
    body: str
    file: Path | None = None


async def send_alert(
    urls: Sequence[str], alert: Alert, timeout_seconds: float = ALERT_TIMEOUT_SECONDS
) -> AlertOutcome:
    """Sends to all services at the same time; `SENT` if one of them accepted the alert. Never raises."""
    tasks = [asyncio.ensure_future(run_in_daemon_thread(partial(_send, url, alert))) for url in urls]
    if not tasks:
        return AlertOutcome.FAILED
    done, pending = await asyncio.wait(tasks, timeout=timeout_seconds)
    for task in pending:
        task.cancel()
    accepted_count = sum(not task.exception() and task.result() for task in done)
    log.info("alarm raised", services=len(urls), took=accepted_count, silent=len(pending))
    if accepted_count:
        return AlertOutcome.SENT
    return AlertOutcome.UNCERTAIN if pending else AlertOutcome.FAILED


def _send(url: str, alert: Alert) -> bool:
    """Blocks. Returns whether the service accepted the alert."""
    try:
        import apprise  # noqa: PLC0415 - optional, and takes 20 MB
    except ImportError:
        log.error("apprise is not installed; install deploy/fallback.lock")
        return False
    _disable_logs()
    try:
        service = apprise.Apprise()
        if not service.add(url):
            log.error("a fallback url is none that apprise knows")
            return False
        attachment = None if alert.file is None else str(alert.file)
        return bool(service.notify(title=alert.title, body=alert.body, attach=attachment))
    except Exception as error:  # noqa: BLE001 - a plugin may raise any error, with the URL in its text
        log.error("a fallback service failed", kind=type(error).__name__)
        return False


def _disable_logs() -> None:
    """Apprise and its HTTP libraries log URLs with their tokens."""
    for name in ("apprise", "requests", "urllib3"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.disabled = True
