"""`wx2mqtt demo --once`: plays a conversation from the QR code to the result, and prints its messages."""

from __future__ import annotations

import asyncio
import json

import httpx
from typing_extensions import override

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Delivery, Publication
from wx2mqtt.mqtt.client import ConnectionWaiter, MqttClient, running
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.values import frozen

QUESTION, ANSWER = "我快到家了，开灯 ☀", "灯已打开。欢迎回家！"

# Seconds that the simulator waits for a sent message before it answers.
SENT_POLL_SECONDS = 5


@frozen
class Conversation:
    """How the conversation goes on a backend."""

    #: The path of the backend in the simulator's control API.
    prefix: str
    #: Who writes, and is answered.
    person: str
    #: To whom it is written; empty where there is only the bot.
    to: str
    #: Who is seen to answer on the phone.
    sender: str
    #: For the whole conversation. On WeCom the state of the code is asked for every 3 s.
    seconds: float = 9.0


# To a bot the owner writes first: before that iLink and WeCom let it send nothing (ilink 10.1.1, wecom 5.2).
CONVERSATIONS = {
    "webwx": Conversation(prefix="", person="wife", to="me", sender="from the owner:  "),
    "ilink": Conversation(prefix="ilink/", person="me", to="", sender="from the bot:    "),
    "wecom": Conversation(prefix="wecom/", person="me", to="", sender="from the bot:    ", seconds=20.0),
}


class ScriptListener(ConnectionWaiter):
    """An MQTT client that receives everything, as a home automation would."""

    def __init__(self, broker: str) -> None:
        super().__init__()
        options = MqttOptions(
            urls=(broker,),
            client_id="wx2mqtt-demo-audience",
            will=Publication(topic="demo/audience", payload=b"gone"),
            subscriptions=("wx/#",),
        )
        self.client = MqttClient(options)
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()

    @override
    def on_delivery(self, delivery: Delivery) -> None:
        self.client.acknowledge(delivery)
        self._deliveries.put_nowait(delivery)

    async def publish(self, topic: str, payload: str) -> None:
        """Publishes and waits for the PUBACK."""
        done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.client.publish(Publication(topic=topic, payload=payload.encode()), done.set_result)
        error = await done
        if error is not None:
            raise error

    async def wait_for_message(self, topic: str, **expected_fields: Json) -> dict[str, Json]:
        """Waits for a JSON payload on `topic` that has these fields, and returns it; drops the others."""
        while True:
            delivery = await self._deliveries.get()
            if delivery.topic != topic or not delivery.payload:
                continue
            body: dict[str, Json] = json.loads(delivery.payload)
            if all(body.get(key) == value for key, value in expected_fields.items()):
                return body


async def play_script(simulator: str, broker: str, backend: str) -> None:
    """Plays the conversation; raises `Wx2MqttError` if it does not finish in time."""
    listener, conversation = ScriptListener(broker), CONVERSATIONS[backend]
    try:
        async with (
            running(listener.client, listener),
            asyncio.timeout(conversation.seconds),
            httpx.AsyncClient(base_url=simulator, trust_env=False) as phone,
        ):
            await listener.wait_connected(None)
            await _converse(listener, phone, conversation)
    except TimeoutError:
        raise Wx2MqttError(f"The conversation did not finish within {conversation.seconds:g} s.") from None


async def _log_in(listener: ScriptListener, phone: httpx.AsyncClient, control_prefix: str) -> None:
    """Scans and confirms; `control_prefix` is the path of the backend in the simulator's control API."""
    steps = (("waiting_for_scan", "scan"), ("waiting_for_confirm", "confirm"), ("online", ""))
    for state, action in steps:
        message = await listener.wait_for_message("wx/login/state", state=state)
        _print_message("bridge", "wx/login/state", message)
        if action:
            await _post(phone, f"{control_prefix}{action}")


async def _converse(listener: ScriptListener, phone: httpx.AsyncClient, conversation: Conversation) -> None:
    await _log_in(listener, phone, conversation.prefix)
    message = {"from": conversation.person, "text": QUESTION}
    if conversation.to:
        message["to"] = conversation.to
    await _post(phone, f"{conversation.prefix}say", message)
    await _answer(listener, conversation.person)
    text = await _wait_for_sent_text(phone, conversation.prefix)
    print(f"phone   ←  {conversation.sender}{text}", flush=True)


async def _wait_for_sent_text(phone: httpx.AsyncClient, prefix: str) -> str:
    """Waits for what arrives on the phone; WeCom's receipt of a message (`respond`) does not count."""
    seen = 0
    while True:
        path, query = f"/sim/{prefix}sent", {"after": seen, "wait": SENT_POLL_SECONDS}
        sent = (await phone.get(path, params=query)).json()
        seen += len(sent)
        texts = [line.get("shown", line["text"]) for line in sent if line.get("command") != "respond"]
        if texts:
            return str(texts[-1])


async def _answer(listener: ScriptListener, user: str) -> None:
    """Waits for the message of a person, answers it, and waits for the result."""
    _print_message("WeChat", f"wx/in/{user}", await listener.wait_for_message(f"wx/in/{user}"))
    await listener.publish(f"wx/out/{user}", ANSWER)
    print(f"you     →  {f'wx/out/{user}':<15}  {ANSWER}")
    _print_message("bridge", f"wx/result/{user}", await listener.wait_for_message(f"wx/result/{user}"))


async def _post(phone: httpx.AsyncClient, action: str, body: dict[str, str] | None = None) -> None:
    response = await phone.post(f"/sim/{action}", json=body or {})
    response.raise_for_status()


def _print_message(sender: str, topic: str, body: dict[str, Json]) -> None:
    shown = {
        key: body[key] for key in ("state", "needs", "seq", "kind", "text", "status", "code") if key in body
    }
    text = json.dumps(shown, ensure_ascii=False)
    print(f"{sender:<7} →  {topic:<15}  {text}", flush=True)
