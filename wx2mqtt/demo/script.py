"""`wx2mqtt demo --once`: a conversation from the QR code to the result, printed as it crosses the broker."""

from __future__ import annotations

import asyncio
import json

import httpx

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Connected, Delivery, Disconnected, Publication, Subscription
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import MqttOptions

CONVERSATION_TIMEOUT_SECONDS = 9.0  # seconds for the whole conversation


class ScriptListener:
    """A client of the broker, as a home automation would be."""

    def __init__(self, broker: str) -> None:
        options = MqttOptions(
            urls=(broker,),
            client_id="wx2mqtt-demo-audience",
            will=Publication(topic="demo/audience", payload=b"gone"),
            subscriptions=(Subscription(filter="wx/#"),),
        )
        self.client = MqttClient(options)
        self.connected_event = asyncio.Event()
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()

    async def on_session_start(self) -> None:
        """Nothing is kept from one to the next."""

    def on_connected(self, _connected: Connected) -> None:
        self.connected_event.set()

    def on_disconnected(self, _disconnected: Disconnected) -> None:
        self.connected_event.clear()

    def on_delivery(self, delivery: Delivery) -> None:
        self.client.acknowledge(delivery)
        self._deliveries.put_nowait(delivery)

    async def publish(self, topic: str, payload: str) -> None:
        """Publish and await the PUBACK."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def acknowledged(error: Exception | None) -> None:
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self.client.publish(Publication(topic=topic, payload=payload.encode()), acknowledged)
        await done

    async def wait_for_message(self, topic: str, **expected_fields: Json) -> dict[str, Json]:
        """The next JSON payload on `topic` that holds what is wanted."""
        while True:
            delivery = await self._deliveries.get()
            if delivery.topic != topic or not delivery.payload:
                continue
            body: dict[str, Json] = json.loads(delivery.payload)
            if all(body.get(key) == value for key, value in expected_fields.items()):
                return body


async def play_script(simulator: str, broker: str, backend: str) -> None:
    """Play the conversation; raises `Wx2MqttError` when it does not go as it must."""
    audience = ScriptListener(broker)
    listening = asyncio.create_task(audience.client.run(audience))
    try:
        async with (
            asyncio.timeout(CONVERSATION_TIMEOUT_SECONDS),
            httpx.AsyncClient(base_url=simulator, trust_env=False) as phone,
        ):
            await audience.connected_event.wait()
            await (_converse_with_bot if backend == "ilink" else _converse)(audience, phone)
    except TimeoutError:
        raise Wx2MqttError(
            f"The conversation did not come to its end within {CONVERSATION_TIMEOUT_SECONDS:g} s."
        ) from None
    finally:
        listening.cancel()
        await asyncio.wait({listening})


async def _log_in(listener: ScriptListener, phone: httpx.AsyncClient, control_prefix: str = "") -> None:
    """Scan and confirm; `half` is the part of the simulator's control."""
    state = await listener.wait_for_message("wx/login/state", state="waiting_for_scan")
    _line("bridge", "wx/login/state", state)
    await _phone(phone, f"{control_prefix}scan")
    _line(
        "bridge",
        "wx/login/state",
        await listener.wait_for_message("wx/login/state", state="waiting_for_confirm"),
    )
    await _phone(phone, f"{control_prefix}confirm")
    _line("bridge", "wx/login/state", await listener.wait_for_message("wx/login/state", state="online"))


async def _converse(listener: ScriptListener, phone: httpx.AsyncClient) -> None:
    await _log_in(listener, phone)
    await _phone(phone, "say", {"from": "wife", "to": "me", "text": "我快到家了,开灯 ☀"})
    _line("WeChat", "wx/in/wife", await listener.wait_for_message("wx/in/wife"))
    await listener.publish("wx/out/wife", "灯已打开。欢迎回家!")
    print("you     →  wx/out/wife      灯已打开。欢迎回家!")
    _line("bridge", "wx/result/wife", await listener.wait_for_message("wx/result/wife"))
    sent = (await phone.get("/sim/sent", params={"after": 0, "wait": 5})).json()
    print(f"phone   ←  from the owner:  {sent[-1]['text']}", flush=True)


async def _converse_with_bot(listener: ScriptListener, phone: httpx.AsyncClient) -> None:
    """iLink: the owner writes first, for before that nothing may be sent (ilink 10.1.1)."""
    await _log_in(listener, phone, "ilink/")
    await _phone(phone, "ilink/say", {"from": "me", "text": "我快到家了,开灯 ☀"})
    _line("WeChat", "wx/in/me", await listener.wait_for_message("wx/in/me"))
    await listener.publish("wx/out/me", "灯已打开。欢迎回家!")
    print("you     →  wx/out/me        灯已打开。欢迎回家!")
    _line("bridge", "wx/result/me", await listener.wait_for_message("wx/result/me"))
    sent = (await phone.get("/sim/ilink/sent", params={"after": 0, "wait": 5})).json()
    print(f"phone   ←  from the bot:    {sent[-1]['text']}", flush=True)


async def _phone(phone: httpx.AsyncClient, action: str, body: dict[str, str] | None = None) -> None:
    answer = await phone.post(f"/sim/{action}", json=body or {})
    answer.raise_for_status()


def _line(sender: str, topic: str, body: dict[str, Json]) -> None:
    shown = {
        key: body[key] for key in ("state", "needs", "seq", "kind", "text", "status", "code") if key in body
    }
    said = json.dumps(shown, ensure_ascii=False)
    print(f"{sender:<7} →  {topic:<15}  {said}", flush=True)
