"""Files are fetched and uploaded beside the queues: a chat continues, and its commands expire in time."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.commands_harness import CommandsHarness, person, running
from wx2mqtt.bridge.commands import file_preparation
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.file_preparation import (
    FETCH_WAIT_SECONDS,
    MAX_CONCURRENT_FETCHES,
    MAX_PREPARED_FILES,
    MAX_UNFETCHED_COMMANDS,
    READY_SECONDS,
    UPLOAD_WAIT_SECONDS,
)
from wx2mqtt.bridge.commands.results import final_result
from wx2mqtt.clock import Backoff
from wx2mqtt.errors import BadCommand, TemporarilyUnavailable, TransferBroken, Unreachable
from wx2mqtt.model import Status
from wx2mqtt.settings.schema import Media

PNG = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class FakeFetcher:
    """A fetcher whose URLs return bytes or raise errors, in the order of a script; the last one is repeated."""

    def __init__(self, **scripts):
        self.scripts = {f"http://h/{name}": list(script) for name, script in scripts.items()}
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, url, *, max_bytes, allowed_hosts, timeout_seconds):
        self.asked.append((url, max_bytes, allowed_hosts, timeout_seconds > 0))
        await self.gate.wait()
        script = self.scripts[url]
        outcome = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(outcome, Exception):
            raise outcome
        yield outcome


async def test_a_url_is_accepted_first_and_fetched_before_its_attempt(tmp_path):
    fetcher = FakeFetcher(**{"bell.png": [PNG]})
    media = Media(allow_hosts=("h",))
    async with running(tmp_path, fetcher=fetcher, online=False, media=media) as harness:
        delivery = harness.deliver_command(kind="image", url="http://h/bell.png", id="a")
        await harness.wait_for_puback(delivery)
        assert (fetcher.asked, harness.media_files) == ([], [])
        harness.sender.set_online(online=True)
        assert await harness.wait_for_sent_texts(1) == ["bell.png"]
        assert harness.wechat.files == [PNG]
        assert fetcher.asked == [("http://h/bell.png", 2000, ("h",), True)]
        assert (await harness.result("a"))["status"] == "sent"
        (row,) = await harness.rows()
        assert row.blob is not None
        assert row.blob.size == len(PNG)


REFUSAL = BadCommand("fetch_failed", "fetch_status", status=404)
LATER = TemporarilyUnavailable("fetch_failed", "fetch_status", status=503)
BROKEN = TransferBroken("fetch_failed", "fetch_cut_off")


async def test_what_is_not_to_be_had_is_rejected_at_once(tmp_path):
    fetcher = FakeFetcher(gone=[REFUSAL], picture=[b"no picture"], large=[PNG, PNG])
    fetcher.scripts["http://h/large"] = [bytes(5000)]
    async with running(tmp_path, fetcher=fetcher) as harness:
        harness.deliver_command(kind="file", url="http://h/gone", id="a")
        harness.deliver_command(kind="image", url="http://h/picture", id="b")
        harness.deliver_command(kind="image", url="http://h/large", id="c")
        codes = [
            (body["id"], body["status"], body["code"])
            for body in await harness.wait_for_bodies("wx/result/wife", 3)
        ]
        assert codes == [
            ("a", "rejected", "fetch_failed"),
            ("b", "rejected", "bad_file"),
            ("c", "rejected", "bad_file"),
        ]
        assert (len(fetcher.asked), harness.media_files, harness.wechat.sent) == (3, [], [])


async def test_what_may_pass_is_tried_again(tmp_path):
    fetcher = FakeFetcher(x=[LATER, LATER, b"x"])
    async with running(tmp_path, fetcher=fetcher) as harness:
        harness.deliver_command(kind="file", url="http://h/x", id="a")
        assert (await harness.result("a"))["status"] == "sent"
        assert len(fetcher.asked) == 3


async def test_an_answer_that_breaks_off_is_tried_three_times(tmp_path):
    fetcher = FakeFetcher(x=[BROKEN])
    async with running(tmp_path, fetcher=fetcher) as harness:
        harness.deliver_command(kind="file", url="http://h/x", id="a")
        result = await harness.result("a")
        assert (result["status"], result["code"]) == ("rejected", "fetch_failed")
        assert (len(fetcher.asked), harness.wechat.sent) == (3, [])


async def test_after_its_time_the_result_says_why_it_was_not_fetched(tmp_path, pass_time):
    fetcher = FakeFetcher(x=[LATER])
    async with running(tmp_path, fetcher=fetcher) as harness:
        harness.deliver_command(kind="file", url="http://h/x", id="a", ttl=600)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while len(fetcher.asked) < 2:  # noqa: ASYNC110 - the first failure is known by the second
                await asyncio.sleep(0)
        pass_time(601)
        harness.sender.recheck()
        result = await harness.result("a")
        assert (result["status"], result["code"]) == ("expired", "fetch_failed")
        assert "503" in result["message"]


async def test_a_bug_in_fetching_rejects_this_command_only(tmp_path):
    async with running(tmp_path, fetcher=FakeFetcher(x=[ZeroDivisionError()])) as harness:
        harness.deliver_command(kind="file", url="http://h/x", id="a")
        harness.deliver("others go on")
        first, second = await harness.wait_for_bodies("wx/result/wife", 2)
        assert (first["code"], second["status"]) == ("internal", "sent")


async def test_what_was_fetched_for_a_command_that_was_dropped_does_not_stay(tmp_path):
    fetcher = FakeFetcher(x=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        await harness.wait_for_puback(harness.deliver_command(kind="file", url="http://h/x", id="a"))
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not fetcher.asked:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0)
        (row,) = await harness.rows()
        result = replace(_rejected(row), code="dropped")
        await harness.journal.commands.drop("a", result, ())
        harness.sender.remove(row, result)
        fetcher.gate.set()
        harness.deliver("the next one")
        assert await harness.wait_for_sent_texts(1) == ["the next one"]
        assert harness.media_files == []


def _rejected(row):
    return final_result(row, Status.REJECTED, "dropped", "dropped")


async def wait_until_loaded(harness):
    """Waits until the sender has read the journal: from then on each command goes straight into its queue."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while harness.sender.waiting.can_load:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)


async def wait_for_fetches(fetcher, count):
    """Waits until at least `count` URLs were fetched."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while len(fetcher.asked) < count:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)


# commands behind a file


async def test_an_ordinary_file_keeps_its_place(tmp_path):
    fetcher = FakeFetcher(slow=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        harness.deliver_command(kind="file", url="http://h/slow", id="a")
        harness.deliver("after it")
        harness.deliver("to mom", "mom")
        assert await harness.wait_for_sent_texts(1) == ["to mom"]
        await wait_for_fetches(fetcher, 1)
        fetcher.gate.set()
        assert await harness.wait_for_sent_texts(3) == ["to mom", "slow.txt", "after it"]


async def test_a_server_that_hangs_holds_the_texts_behind_it_for_some_seconds_only(tmp_path, pass_time):
    fetcher = FakeFetcher(slow=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        await wait_until_loaded(harness)
        harness.deliver_command(kind="file", url="http://h/slow", id="a")
        harness.deliver("after it")
        harness.deliver("and after that")
        await wait_for_fetches(fetcher, 1)
        pass_time(FETCH_WAIT_SECONDS + 1)
        harness.sender.recheck()
        assert await harness.wait_for_sent_texts(2) == ["after it", "and after that"]
        fetcher.gate.set()
        assert (await harness.result("a"))["status"] == "sent"
        assert len(fetcher.asked) == 1


@pytest.mark.parametrize("more", [{"priority": "high"}, {"urgent": True}])
async def test_what_is_important_waits_for_no_file(tmp_path, more):
    fetcher = FakeFetcher(slow=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        await wait_until_loaded(harness)
        harness.deliver_command(kind="file", url="http://h/slow", id="a")
        harness.deliver("after it")
        harness.deliver_command(text="alarm", **more)
        assert await harness.wait_for_sent_texts(1) == ["alarm"]
        fetcher.gate.set()
        assert await harness.wait_for_sent_texts(3) == ["alarm", "slow.txt", "after it"]


async def test_a_hundred_files_delay_what_is_behind_them_no_longer_than_one(tmp_path, pass_time):
    fetcher = FakeFetcher(slow=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        await wait_until_loaded(harness)
        for number in range(40):
            harness.deliver_command(kind="file", url="http://h/slow", id=f"{number}")
        harness.deliver("after them")
        await wait_for_fetches(fetcher, MAX_PREPARED_FILES)
        pass_time(FETCH_WAIT_SECONDS + 1)
        harness.sender.recheck()
        await harness.wait_for_sent_texts(1)
        harness.deliver("at once")
        assert await harness.wait_for_sent_texts(2) == ["after them", "at once"]


def only_queue(harness: CommandsHarness) -> ChatQueue:
    (queue,) = harness.sender.waiting.queues.values()
    return queue


async def test_more_slow_files_than_a_chat_has_in_memory_do_not_hold_what_is_behind_them(tmp_path, pass_time):
    fetcher = FakeFetcher(slow=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        await wait_until_loaded(harness)
        for number in range(MAX_UNFETCHED_COMMANDS + 20):
            harness.deliver_command(kind="file", url="http://h/slow", id=f"{number}")
        harness.deliver_command(text="alarm", priority="high")
        assert await harness.wait_for_sent_texts(1) == ["alarm"]
        results = await harness.wait_for_bodies("wx/result/wife", 21)
        assert sorted(result["code"] for result in results) == ["ok", *["rate_limited"] * 20]
        assert len(only_queue(harness).rows) == MAX_UNFETCHED_COMMANDS


async def test_a_command_expires_while_its_file_is_fetched_and_while_one_before_it_is(tmp_path, pass_time):
    fetcher = FakeFetcher(slow=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        await wait_until_loaded(harness)
        harness.deliver_command(kind="file", url="http://h/slow", id="a", ttl=5000)
        harness.deliver_command(kind="file", url="http://h/slow", id="b", ttl=600)
        await harness.wait_for_puback(
            harness.deliver_command(kind="recall", message_id="m1", id="c", ttl=600)
        )
        await wait_for_fetches(fetcher, 2)
        harness.sender.set_online(online=False)
        pass_time(601)
        harness.sender.recheck()
        assert {(await harness.result(command_id))["status"] for command_id in "bc"} == {"expired"}
        harness.sender.set_online(online=True)
        fetcher.gate.set()
        assert (await harness.result("a"))["status"] == "sent"
        assert len(await harness.rows()) == 3
        assert harness.media_files == [*harness.folder.glob("media/*/*")]


async def test_a_command_expires_while_it_waits_for_a_place_among_the_fetches(tmp_path, pass_time):
    people = tuple(person(number, f"p{number}") for number in range(1, MAX_CONCURRENT_FETCHES + 2))
    fetcher = FakeFetcher(slow=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher, people=people) as harness:
        for number in range(1, MAX_CONCURRENT_FETCHES + 1):
            harness.deliver_command(f"p{number}", kind="file", url="http://h/slow", id=f"{number}", ttl=5000)
        await wait_for_fetches(fetcher, MAX_CONCURRENT_FETCHES)
        last = people[-1].topic_name
        harness.deliver_command(last, kind="file", url="http://h/slow", id="late", ttl=600)
        await harness.wait_for_puback(harness.deliver_command(last, text="after it", ttl=5000))
        pass_time(601)
        harness.sender.recheck()
        assert (await harness.result("late", last))["status"] == "expired"
        assert await harness.wait_for_sent_texts(1) == ["after it"]
        assert len(fetcher.asked) == MAX_CONCURRENT_FETCHES


async def test_one_chat_does_not_take_all_places(tmp_path):
    fetcher = FakeFetcher(slow=[b"x"], quick=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        await wait_until_loaded(harness)
        for number in range(2 * MAX_CONCURRENT_FETCHES):
            more = {"priority": "high"} if number % 2 else {}
            harness.deliver_command(kind="file", url="http://h/slow", id=f"{number}", **more)
        await wait_for_fetches(fetcher, MAX_PREPARED_FILES)
        harness.deliver_command("mom", kind="file", url="http://h/quick", id="mom")
        await wait_for_fetches(fetcher, MAX_PREPARED_FILES + 1)
        assert fetcher.asked[-1][0] == "http://h/quick"


async def test_an_important_file_waits_for_no_other_of_its_chat(tmp_path):
    fetcher = FakeFetcher(slow=[b"x"], alarm=[b"x"])
    fetcher.gate.clear()
    async with running(tmp_path, fetcher=fetcher) as harness:
        await wait_until_loaded(harness)
        for number in range(MAX_CONCURRENT_FETCHES):
            harness.deliver_command(kind="file", url="http://h/slow", id=f"{number}")
        await wait_for_fetches(fetcher, MAX_PREPARED_FILES)
        harness.deliver_command(kind="file", url="http://h/alarm", id="alarm", urgent=True)
        await wait_for_fetches(fetcher, MAX_PREPARED_FILES + 1)
        assert fetcher.asked[-1][0] == "http://h/alarm"


async def test_urls_that_fail_become_few_requests(tmp_path):
    """Each URL is tried after the pause of the one before, and not at once."""
    fetcher = FakeFetcher(x=[LATER])
    async with running(tmp_path, fetcher=fetcher) as harness:
        for number in range(30):
            harness.deliver_command(kind="file", url="http://h/x", id=f"{number}")
        await wait_for_fetches(fetcher, MAX_PREPARED_FILES)
        harness.deliver("to mom", "mom")
        await harness.wait_for_bodies("wx/result/mom")
        assert len(fetcher.asked) <= 2 * MAX_PREPARED_FILES


async def test_a_file_that_fails_does_not_hold_the_others_of_its_chat(tmp_path, pass_time):
    fetcher = FakeFetcher(x=[LATER], y=[b"y"])
    async with running(tmp_path, fetcher=fetcher) as harness:
        await wait_until_loaded(harness)
        harness.deliver_command(kind="file", url="http://h/x", id="a")
        harness.deliver_command(kind="file", url="http://h/y", id="b", name="y.txt")
        await wait_for_fetches(fetcher, 2)
        pass_time(FETCH_WAIT_SECONDS + 1)
        harness.sender.recheck()
        assert (await harness.result("b"))["status"] == "sent"


# uploads


async def test_an_upload_that_hangs_holds_the_texts_behind_it_for_some_seconds_only(harness, pass_time):
    harness.wechat.uploads.clear()
    harness.deliver(b"x", "wife/file/a.txt")
    harness.deliver("after it")
    harness.deliver_command(text="alarm", priority="high")
    assert await harness.wait_for_sent_texts(1) == ["alarm"]
    pass_time(UPLOAD_WAIT_SECONDS + 1)
    harness.sender.recheck()
    assert await harness.wait_for_sent_texts(2) == ["alarm", "after it"]
    harness.wechat.uploads.set()
    assert await harness.wait_for_sent_texts(3) == ["alarm", "after it", "a.txt"]
    assert harness.wechat.prepared == ["a.txt"]


async def test_a_command_expires_while_its_file_is_uploaded(harness, pass_time):
    harness.wechat.uploads.clear()
    await harness.wait_for_puback(harness.deliver_command(kind="file", data="eA==", id="a", ttl=600))
    await harness.changes.wait_until(lambda: harness.wechat.prepared)
    pass_time(601)
    harness.sender.recheck()
    assert (await harness.result("a"))["status"] == "expired"


async def test_an_upload_that_takes_too_long_as_a_whole_is_begun_again(harness, monkeypatch):
    monkeypatch.setattr(file_preparation, "transfer_seconds", lambda size: 0.05 * size)
    harness.wechat.uploads.clear()
    harness.deliver(b"x", "wife/file/a.txt")
    await harness.changes.wait_until(lambda: len(harness.wechat.prepared) == 2)
    monkeypatch.undo()
    harness.wechat.uploads.set()
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["duplicate_possible"]) == ("sent", False)


async def test_a_file_that_was_uploaded_long_ago_is_offered_again_before_its_attempt(tmp_path, pass_time):
    async with running(tmp_path, per_minute=1, burst=1) as harness:
        harness.wechat.uploads.clear()
        harness.deliver(b"x", "wife/file/a.txt")
        await harness.changes.wait_until(lambda: harness.wechat.prepared)
        harness.deliver("quick", "mom")
        await harness.wait_for_bodies("wx/result/mom")
        harness.wechat.uploads.set()
        queue = only_queue(harness)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not harness.sender._files.is_ready(queue, queue.waiting.rows[0]):  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0)
        pass_time(READY_SECONDS + 1)
        harness.sender.recheck()
        assert await harness.wait_for_sent_texts(2) == ["quick", "a.txt"]
        assert harness.wechat.prepared == ["a.txt", "a.txt"]


# after an outage


def failed_count(harness: CommandsHarness) -> int:
    """Returns how many files wait after a failure."""
    chats = harness.sender._files._chats.values()
    return sum(state.backoff.failures for chat in chats for state in chat.states.values())


async def test_when_the_account_is_online_again_every_file_goes_on_at_once_and_before_what_is_behind_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(Backoff, "wait", lambda self, _chance: 600.0 * bool(self.failures))
    monkeypatch.setattr(file_preparation, "UPLOAD_WAIT_SECONDS", 600.0)
    fetcher = FakeFetcher(x=[LATER, b"x"])
    async with running(tmp_path, fetcher=fetcher) as harness:
        harness.wechat.refusals += [Unreachable(), Unreachable()]
        harness.deliver(b"w", "wife/file/wife.txt")
        harness.deliver("behind the file")
        harness.deliver(b"m", "mom/file/mom.txt")
        harness.deliver_command("filehelper", kind="file", url="http://h/x", id="fetched")
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while failed_count(harness) < 3:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0)
        harness.sender.set_online(online=True)
        await harness.wait_for_sent_texts(4)
        assert harness.wechat.texts("wife") == ["wife.txt", "behind the file"]
        assert harness.wechat.texts("mom") == ["mom.txt"]
        assert (await harness.result("fetched", "filehelper"))["status"] == "sent"
