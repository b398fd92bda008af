"""`wx2mqtt demo --once`: plays a conversation from the QR code to the result, and prints its messages."""

from __future__ import annotations

import asyncio
import json

import httpx
from typing_extensions import override

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.setup import demo_text, text_width
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Delivery, Publication
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.temporary_client import ConnectionWaiter, running
from wx2mqtt.values import frozen

QUESTION, ANSWER = "我快到家了，开灯 ☀", "灯已打开。欢迎回家！"

# The widths of the first two columns that are printed.
WHO_COLUMNS, WHERE_COLUMNS = 7, 15

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
    #: Who is seen to answer on the phone: a key of `demo_text`.
    sender: str
    #: For the whole conversation. On WeCom the state of the code is asked for every 3 s.
    seconds: float = 9.0


# To a bot the owner writes first: before that iLink and WeCom let it send nothing (ilink 10.1.1, wecom 5.2).
CONVERSATIONS = {
    "webwx": Conversation(prefix="", person="wife", to="me", sender="from_owner"),
    "ilink": Conversation(prefix="ilink/", person="me", to="", sender="from_bot"),
    "wecom": Conversation(prefix="wecom/", person="me", to="", sender="from_bot", seconds=20.0),
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


async def play_script(simulator: str, broker: str, backend: str, language: Language) -> None:
    """Plays the conversation; raises `Wx2MqttError` if it does not finish in time."""
    listener, conversation = ScriptListener(broker), CONVERSATIONS[backend]
    try:
        async with (
            running(listener.client, listener),
            asyncio.timeout(conversation.seconds),
            httpx.AsyncClient(base_url=simulator, trust_env=False) as phone,
        ):
            await listener.wait_connected(None)
            await _converse(listener, phone, conversation, language)
    except TimeoutError:
        raise Wx2MqttError(f"The conversation did not finish within {conversation.seconds:g} s.") from None


async def _log_in(
    listener: ScriptListener, phone: httpx.AsyncClient, control_prefix: str, language: Language
) -> None:
    """Scans and confirms; `control_prefix` is the path of the backend in the simulator's control API."""
    steps = (("waiting_for_scan", "scan"), ("waiting_for_confirm", "confirm"), ("online", ""))
    for state, action in steps:
        message = await listener.wait_for_message("wx/login/state", state=state)
        _print_line(language, "bridge", "wx/login/state", _shown(message))
        if action:
            await _post(phone, f"{control_prefix}{action}")


async def _converse(
    listener: ScriptListener, phone: httpx.AsyncClient, conversation: Conversation, language: Language
) -> None:
    await _log_in(listener, phone, conversation.prefix, language)
    message = {"from": conversation.person, "text": QUESTION}
    if conversation.to:
        message["to"] = conversation.to
    await _post(phone, f"{conversation.prefix}say", message)
    await _answer(listener, conversation.person, language)
    text = await _wait_for_sent_text(phone, conversation.prefix)
    _print_line(language, "phone", demo_text(language, conversation.sender), text, arrow="←")


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


async def _answer(listener: ScriptListener, user: str, language: Language) -> None:
    """Waits for the message of a person, answers it, and waits for the result."""
    message = await listener.wait_for_message(f"wx/in/{user}")
    _print_line(language, "wechat", f"wx/in/{user}", _shown(message))
    await listener.publish(f"wx/out/{user}", ANSWER)
    _print_line(language, "you", f"wx/out/{user}", ANSWER)
    result = await listener.wait_for_message(f"wx/result/{user}")
    _print_line(language, "bridge", f"wx/result/{user}", _shown(result))


async def _post(phone: httpx.AsyncClient, action: str, body: dict[str, str] | None = None) -> None:
    response = await phone.post(f"/sim/{action}", json=body or {})
    response.raise_for_status()


def _shown(body: dict[str, Json]) -> str:
    """Returns what of a message is shown."""
    keys = ("state", "needs", "seq", "kind", "text", "status", "code")
    return json.dumps({key: body[key] for key in keys if key in body}, ensure_ascii=False)


def _print_line(language: Language, who: str, where: str, text: str, arrow: str = "→") -> None:
    """Prints who said what, in columns."""
    name = demo_text(language, f"who_{who}")
    name += " " * (WHO_COLUMNS - text_width(name))
    where += " " * (WHERE_COLUMNS - text_width(where))
    print(f"{name} {arrow}  {where}  {text}", flush=True)
