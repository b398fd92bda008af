"""Who calls: tokens, the throttle for wrong ones, rates, unfinished commands, and to whom a sender may send."""

from __future__ import annotations

from tests.support.rows import every_row
from tests.support.web import FakeClock
from wx2mqtt.web.auth import FREE_ATTEMPTS
from wx2mqtt.web.options import SenderOptions
from wx2mqtt.web.senders.sender_rights import (
    BURST,
    MAX_UNFINISHED,
    Recipient,
    SenderRegistry,
    find_recipient,
    may_send,
)

ADDRESS = "192.0.2.1"


def sender(name="nas", token="t" * 32, *, to="me", users=("me",), rate=60):
    return SenderOptions(name=name, token=token, to=to, users=users, rate=rate)


def registry_of(*senders, clock=None):
    registry = SenderRegistry(clock or FakeClock())
    registry.set_senders(senders)
    return registry


class FakeAccount:
    def __init__(self, unfinished):
        self.unfinished, self.asked = unfinished, 0

    async def count_unfinished(self, _sender):
        self.asked += 1
        return self.unfinished


def test_a_token_is_one_senders_and_opens_nothing_without_it():
    registry = registry_of(sender(), sender("grafana", "g" * 32))
    assert registry.authenticate("g" * 32, ADDRESS).sender.name == "grafana"
    assert registry.authenticate("", ADDRESS).sender is None
    assert registry.authenticate("G" * 32, ADDRESS).sender is None


def test_only_wrong_tokens_make_an_address_wait_and_a_right_one_always_passes():
    registry = registry_of(sender())
    for _ in range(100):
        assert registry.authenticate("", ADDRESS).wait_seconds == 0
    waits = [registry.authenticate("wrong", ADDRESS).wait_seconds for _ in range(FREE_ATTEMPTS + 1)]
    assert waits[0] == 0
    assert waits[-1] > 0
    assert registry.authenticate("t" * 32, ADDRESS).sender is not None
    assert registry.authenticate("wrong", "192.0.2.2").wait_seconds == 0


def test_a_right_token_does_not_forgive_the_guesses_of_its_neighbours():
    registry = registry_of(sender())
    for _ in range(FREE_ATTEMPTS):
        registry.authenticate("wrong", ADDRESS)
        registry.authenticate("t" * 32, ADDRESS)
    assert registry.authenticate("wrong", ADDRESS).wait_seconds > 0


def test_a_rate_allows_a_burst_and_then_so_many_a_minute():
    clock = FakeClock()
    registry, slow = registry_of(sender(rate=60), clock=clock), sender(rate=60)
    assert [registry.count_call(slow) for _ in range(BURST)] == [0.0] * BURST
    assert registry.count_call(slow) == 1.0
    clock.now += 1.0
    assert registry.count_call(slow) == 0.0
    assert registry.count_call(slow) > 0
    assert [registry.count_call(sender("free", rate=0)) for _ in range(200)] == [0.0] * 200


def test_a_reload_keeps_the_rate_of_a_sender_that_stays():
    registry = registry_of(sender())
    for _ in range(BURST):
        registry.count_call(sender())
    registry.set_senders([sender(token="n" * 32)])
    assert registry.count_call(sender()) > 0
    assert registry.authenticate("t" * 32, ADDRESS).sender is None


async def test_a_sender_has_at_most_so_many_unfinished_commands():
    registry = registry_of(sender())
    busy = [FakeAccount(MAX_UNFINISHED - 3), FakeAccount(1)]
    allowed = [await registry.count_command(sender(), busy) for _ in range(2)]
    assert allowed == [True, True]
    assert busy[0].asked == 1  # they are counted once for as many as have room
    busy[1].unfinished = 3
    assert not await registry.count_command(sender(), busy)
    busy[0].unfinished = 0
    assert await registry.count_command(sender(), busy)


@every_row(
    ("named", "expected"),
    [
        ("wife", Recipient(account="home", user="wife")),
        ("office/wife", Recipient(account="office", user="wife")),
        ("", Recipient(account="office", user="me")),
    ],
)
def test_a_call_names_somebody_or_means_the_senders_to(named, expected):
    assert find_recipient(named, sender(to="office/me"), "home") == expected


@every_row(
    ("users", "account", "user", "allowed"),
    [
        (("me",), "home", "me", True),
        (("me",), "office", "me", False),
        (("office/me",), "office", "me", True),
        (("office/me",), "home", "me", False),
        (("*",), "home", "anybody", True),
        (("*",), "office", "anybody", False),
        (("*/*",), "office", "anybody", True),
        (("[me]",), "home", "[me]", True),
        (("caf\u00e9",), "home", "cafe\u0301", True),
        ((), "home", "me", False),
    ],
)
def test_users_are_names_or_globs_of_an_account(users, account, user, allowed):
    assert may_send(sender(users=users), Recipient(account=account, user=user), "home") is allowed


async def test_calls_are_counted():
    registry = registry_of()
    for code in ("unauthorized", "unauthorized", "forbidden"):
        registry.record("", code, status=401)
    registry.record("nas", "accepted", user="me")
    registry.close()
    assert registry.calls == {("", "unauthorized"): 2, ("", "forbidden"): 1, ("nas", "accepted"): 1}
