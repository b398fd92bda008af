"""The context shared by the components of an account, which must hold no component."""

from __future__ import annotations

import dataclasses
import typing

from tests.unit.bridge.contexts import FakeQuota, shared
from wx2mqtt.bridge import context as module
from wx2mqtt.bridge.context import AccountContext, AccountSignals, SharedServices


def test_a_context_holds_values_services_settings_queues_and_signals_and_no_component():
    """With a component in it each one could reach every other, and nobody could read who calls whom."""
    hints = typing.get_type_hints(AccountContext)
    assert {
        name: getattr(hints[name], "__name__", str(hints[name]))
        for name in (field.name for field in dataclasses.fields(AccountContext))
    } == {
        "name": "str",
        "topics": "Topics",
        "broker": "BrokerClient",
        "backend": "Backend",
        "counters": "AccountCounters",
        "journal": "Journal",
        "people_file": "wx2mqtt.store.people_file.PeopleFile | None",
        "registry": "PeopleRegistry",
        "saved_state": "AccountState",
        "settings": "AccountSettings",
        "shared": "SharedServices",
        "marks": "ProcessingMarks",
        "puback_log": "PubackLog",
        "login_requests": "LoginRequests",
        "own_events": "Queue",
        "signals": "AccountSignals",
    }


def test_the_module_of_the_context_imports_no_component():
    components = {
        "publisher",
        "inflight",
        "retained",
        "session",
        "inbound",
        "sender",
        "media",
        "reporter",
        "account",
        "components",
    }
    modules = {
        value.__module__.removeprefix("wx2mqtt.bridge.").partition(".")[0]
        for value in vars(module).values()
        if getattr(value, "__module__", "").startswith("wx2mqtt.bridge.")
    }
    assert not modules & components


def test_the_process_shares_services_and_each_signal_of_an_account_is_its_own():
    assert {field.name for field in dataclasses.fields(SharedServices)} == {
        "watchdog",
        "changes",
        "blobs",
        "media_retention",
        "quota",
        "process_requests",
        "reload_status",
        "instance",
        "lease",
        "fallback_accounts",
        "contacts_fetched",
        "login_reported",
    }
    first, second = AccountSignals(), AccountSignals()
    assert all(
        getattr(first, field.name) is not getattr(second, field.name) for field in dataclasses.fields(first)
    )


def test_a_store_is_full_at_its_limit_and_never_without_one():
    quota = FakeQuota(size=4_999_999, limit=5_000_000)
    services = shared(quota=quota)
    assert services.exceeded_limit() == ""
    quota.size = 5_000_000
    assert services.exceeded_limit() == "5 MB"
    quota.limit = 0
    assert services.exceeded_limit() == services.exceeded_limit(for_commands=True) == ""


def test_the_last_part_of_a_store_is_kept_for_messages():
    quota = FakeQuota(size=4_749_999, limit=5_000_000)
    services = shared(quota=quota)
    assert (services.exceeded_limit(for_commands=True), services.free_bytes_for_commands) == ("", 1)
    quota.size = 4_750_000
    assert (services.exceeded_limit(for_commands=True), services.exceeded_limit()) == ("5 MB", "")
