"""`plain: true`: bare text for devices that have no room for JSON, from people whom the owner trusts."""

from __future__ import annotations

from tests.support.home import at_home


async def test_a_small_device_hears_trusted_people_in_bare_text_and_nobody_else(tmp_path) -> None:
    async with at_home(tmp_path) as home:
        home.bridge.configure(home.settings({"plain": True, "contacts": {"wife": {"remark": "老婆"}}}))
        await home.log_in()
        await home.phone.say("mom", "开灯")
        await home.phone.say("wife", "灯" * 100)
        await home.phone.say("wife", "关灯")

        last = await home.hear(home.ear.wait, "wx/text/wife", lambda one: one.payload == "关灯".encode())
        texts = home.ear.on("wx/text/#")
        assert [one.payload.decode() for one in texts] == [
            "灯" * 66,
            "关灯",
        ]  # 198 bytes, and no half character
        assert {one.retain for one in texts} == {False}
        assert last.properties["ContentType"] == "text/plain"
        assert last.properties["PayloadFormatIndicator"] == 1
        messages = await home.hear(home.ear.wait_count, "wx/in/#", 3)
        assert sorted(one.body["trusted"] for one in messages) == [False, True, True]


async def test_it_can_be_switched_on_while_the_bridge_runs(tmp_path) -> None:
    async with at_home(tmp_path) as home:
        await home.log_in()
        await home.phone.say("wife", "one")
        await home.body("wx/in/wife", text="one")
        home.bridge.configure(home.settings({"plain": True}))
        answer = await home.ask("reload")
        assert answer["data"]["applied"] == ["accounts.home.plain"]
        await home.phone.say("wife", "two")
        await home.hear(home.ear.wait, "wx/text/wife")
        assert [one.payload for one in home.ear.on("wx/text/#")] == [b"two"]
