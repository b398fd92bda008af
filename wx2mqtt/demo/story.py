"""`wx2mqtt demo --once`: a conversation from the QR code to the result, printed as it crosses the broker."""

from __future__ import annotations

import asyncio
import json

import httpx

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.client import MqttLink, Options
from wx2mqtt.mqtt.link import Connected, Delivery, Disconnected, Publication, Subscription

LIMIT = 9.0  # seconds for the whole conversation


class Audience:
    """A client of the broker, as a home automation would be."""

    def __init__(self, broker: str) -> None:
        options = Options(
            urls=(broker,),
            client_id="wx2mqtt-demo-audience",
            will=Publication(topic="demo/audience", payload=b"gone"),
            subscriptions=(Subscription(filter="wx/#"),),
        )
        self.link = MqttLink(options)
        self.there = asyncio.Event()
        self._seen: asyncio.Queue[Delivery] = asyncio.Queue()

    async def session_begins(self) -> None:
        """Nothing is kept from one to the next."""

    def connected(self, _connection: Connected) -> None:
        self.there.set()

    def disconnected(self, _gone: Disconnected) -> None:
        self.there.clear()

    def delivered(self, delivery: Delivery) -> None:
        self.link.acknowledge(delivery)
        self._seen.put_nowait(delivery)

    async def publish(self, topic: str, payload: str) -> None:
        """Publish and await the PUBACK."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def acknowledged(error: Exception | None) -> None:
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self.link.publish(Publication(topic=topic, payload=payload.encode()), acknowledged)
        await done

    async def until(self, topic: str, **wanted: Json) -> dict[str, Json]:
        """The next JSON payload on `topic` that holds what is wanted."""
        while True:
            delivery = await self._seen.get()
            if delivery.topic != topic or not delivery.payload:
                continue
            body: dict[str, Json] = json.loads(delivery.payload)
            if all(body.get(key) == value for key, value in wanted.items()):
                return body


async def tell(simulator: str, broker: str, backend: str) -> None:
    """Play the conversation; raises `Wx2MqttError` when it does not go as it must."""
    audience = Audience(broker)
    listening = asyncio.create_task(audience.link.run(audience))
    try:
        async with asyncio.timeout(LIMIT), httpx.AsyncClient(base_url=simulator, trust_env=False) as phone:
            await audience.there.wait()
            await (_converse_with_bot if backend == "ilink" else _converse)(audience, phone)
    except TimeoutError:
        raise Wx2MqttError(f"The conversation did not come to its end within {LIMIT:g} s.") from None
    finally:
        listening.cancel()
        await asyncio.wait({listening})


async def _log_in(audience: Audience, phone: httpx.AsyncClient, half: str = "") -> None:
    """Scan and confirm; `half` is the part of the simulator's control."""
    state = await audience.until("wx/login/state", state="waiting_for_scan")
    _line("bridge", "wx/login/state", state)
    await _phone(phone, f"{half}scan")
    _line("bridge", "wx/login/state", await audience.until("wx/login/state", state="waiting_for_confirm"))
    await _phone(phone, f"{half}confirm")
    _line("bridge", "wx/login/state", await audience.until("wx/login/state", state="online"))


async def _converse(audience: Audience, phone: httpx.AsyncClient) -> None:
    await _log_in(audience, phone)
    await _phone(phone, "say", {"from": "wife", "to": "me", "text": "我快到家了,开灯 ☀"})
    _line("WeChat", "wx/in/wife", await audience.until("wx/in/wife"))
    await audience.publish("wx/out/wife", "灯已打开。欢迎回家!")
    print("you     →  wx/out/wife      灯已打开。欢迎回家!")
    _line("bridge", "wx/result/wife", await audience.until("wx/result/wife"))
    sent = (await phone.get("/sim/sent", params={"after": 0, "wait": 5})).json()
    print(f"phone   ←  from the owner:  {sent[-1]['text']}", flush=True)


async def _converse_with_bot(audience: Audience, phone: httpx.AsyncClient) -> None:
    """iLink: the owner writes first, for before that nothing may be sent (ilink 10.1)."""
    await _log_in(audience, phone, "ilink/")
    await _phone(phone, "ilink/say", {"from": "me", "text": "我快到家了,开灯 ☀"})
    _line("WeChat", "wx/in/me", await audience.until("wx/in/me"))
    await audience.publish("wx/out/me", "灯已打开。欢迎回家!")
    print("you     →  wx/out/me        灯已打开。欢迎回家!")
    _line("bridge", "wx/result/me", await audience.until("wx/result/me"))
    sent = (await phone.get("/sim/ilink/sent", params={"after": 0, "wait": 5})).json()
    print(f"phone   ←  from the bot:    {sent[-1]['text']}", flush=True)


async def _phone(phone: httpx.AsyncClient, act: str, body: dict[str, str] | None = None) -> None:
    answer = await phone.post(f"/sim/{act}", json=body or {})
    answer.raise_for_status()


def _line(who: str, topic: str, body: dict[str, Json]) -> None:
    shown = {
        key: body[key] for key in ("state", "needs", "seq", "kind", "text", "status", "code") if key in body
    }
    said = json.dumps(shown, ensure_ascii=False)
    print(f"{who:<7} →  {topic:<15}  {said}", flush=True)
