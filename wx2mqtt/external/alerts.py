"""Sends alerts by other services than WeChat; the only file that knows apprise.

The URLs of the services are secrets: no error and no log line here holds one, and the log of apprise is off.
"""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import structlog

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.clock import loop_time
from wx2mqtt.model import Attachment
from wx2mqtt.values import frozen

if TYPE_CHECKING:
    from apprise import Apprise

log = structlog.get_logger(__name__)

# For all services together.
ALERT_TIMEOUT_SECONDS = 30.0

# How much longer the others are waited for when one service has accepted an alert.
AFTER_ACCEPTED_SECONDS = 2.0

# A service that does not answer keeps the thread of each alert: with so many it is asked no more.
MAX_THREADS_PER_SERVICE = 8

# Threads that are sending, by URL; those of alerts that nobody waits for any more as well.
_threads: Counter[str] = Counter()


class AlertOutcome(StrEnum):
    #: A service has accepted the alert.
    SENT = "sent"
    #: No service has accepted it, and all have answered.
    FAILED = "failed"
    #: No service has accepted it, but one did not answer in time.
    UNCERTAIN = "uncertain"


@frozen
class Alert:
    title: str
    body: str
    #: Goes along to the services that take files.
    attachment: Attachment | None = None


async def send_alert(
    urls: Sequence[str], alert: Alert, timeout_seconds: float = ALERT_TIMEOUT_SECONDS
) -> AlertOutcome:
    """Sends to all services at the same time; `SENT` if one of them accepted the alert. Never raises."""
    answering = [url for url in urls if _threads[url] < MAX_THREADS_PER_SERVICE]
    tasks = [asyncio.ensure_future(_send_to(url, alert)) for url in answering]
    if not tasks:
        return AlertOutcome.FAILED
    deadline = loop_time() + timeout_seconds
    pending = set(tasks)
    while pending and loop_time() < deadline:
        _, pending = await asyncio.wait(
            pending, timeout=deadline - loop_time(), return_when=asyncio.FIRST_COMPLETED
        )
        if any(task.done() and task.result() for task in tasks):
            deadline = min(deadline, loop_time() + AFTER_ACCEPTED_SECONDS)
    for task in pending:
        task.cancel()
    accepted_count = sum(task.result() for task in tasks if task not in pending)
    log.info(
        "alarm raised",
        services=len(urls),
        took=accepted_count,
        silent=len(pending),
        not_asked=len(urls) - len(answering),
    )
    if accepted_count:
        return AlertOutcome.SENT
    return AlertOutcome.UNCERTAIN if pending else AlertOutcome.FAILED


async def _send_to(url: str, alert: Alert) -> bool:
    """Sends to one service, in a thread that goes on where nobody waits for it any more."""

    def end(_accepted: bool) -> None:
        _threads[url] -= 1

    _threads[url] += 1
    accepted = await run_in_daemon_thread(partial(_send, url, alert), undo=end)
    end(accepted)
    return accepted


def _send(url: str, alert: Alert) -> bool:
    """Blocks. Returns whether the service accepted the alert."""
    try:
        import apprise  # noqa: PLC0415 - optional, and takes 20 MB
    except ImportError:
        log.error("apprise is not installed; install deploy/fallback.lock")
        return False
    for name in ("apprise", "requests", "urllib3"):  # they log URLs with their tokens
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.disabled = True
    try:
        service = apprise.Apprise()
        if not service.add(url):
            log.error("a fallback url is none that apprise knows")
            return False
        return _notify(service, alert)
    except Exception as error:  # noqa: BLE001 - a plugin may raise any error, with the URL in its text
        log.error("a fallback service failed", kind=type(error).__name__)
        return False


def _notify(service: Apprise, alert: Alert) -> bool:
    """Sends the alert with its file; where the service refuses that, as for its size, without it."""
    attachment = alert.attachment
    if attachment is not None and any(plugin.attachment_support for plugin in service):
        if _notify_with_file(service, alert, attachment):
            return True
        log.warning("a fallback service refused the file: it gets the text", bytes=attachment.blob.size)
    return bool(service.notify(title=alert.title, body=alert.body))


def _notify_with_file(service: Apprise, alert: Alert, attachment: Attachment) -> bool:
    from apprise import AppriseAttachment  # noqa: PLC0415
    from apprise.attachment.file import AttachFile  # noqa: PLC0415

    # Apprise refuses a type that it does not know. It goes by the name then.
    mime = attachment.blob.mime if attachment.blob.mime in mimetypes.types_map.values() else None
    try:
        path = str(attachment.file)
        file = AttachFile(path, name=attachment.name, mimetype=mime)  # type: ignore[no-untyped-call]
        return bool(service.notify(title=alert.title, body=alert.body, attach=AppriseAttachment(file)))
    except Exception as error:  # noqa: BLE001 - as in `_send`
        log.error("a fallback service failed", kind=type(error).__name__)
        return False
