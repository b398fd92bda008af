"""wecom-aibot-sdk as a bridge: the shortest program that publishes what comes and sends what is ordered.

Arguments: the broker's port, the URL of the gateway, the bot's id and its secret. Runs with the folder of the client on
PYTHONPATH.
"""

from __future__ import annotations

import asyncio
import json
import sys

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from wecom_aibot_sdk import WSClient  # type: ignore[import-not-found]

OUTGOING = "peer/out/"
port, url, bot_id, secret = sys.argv[1:]
broker = paho.Client(CallbackAPIVersion.VERSION2)
broker.max_inflight_messages_set(100)


class SilentLogger:
    debug = info = warn = error = staticmethod(lambda *_: None)


client = WSClient(bot_id, secret, ws_url=url, logger=SilentLogger())


def publish(frame):
    body = frame["body"]
    text = {"text": body["text"]["content"], "user": body["from"]["userid"], "id": body["msgid"]}
    broker.publish("peer/in", json.dumps(text, ensure_ascii=False), qos=1)


async def main():
    loop = asyncio.get_running_loop()
    online = asyncio.Event()

    def send(_client, _userdata, message):
        content = {"msgtype": "markdown", "markdown": {"content": message.payload.decode()}}
        sending = client.send_message(message.topic.removeprefix(OUTGOING), content)
        asyncio.run_coroutine_threadsafe(sending, loop)

    client.on("message.text", publish)
    client.on("authenticated", lambda *_: online.set())
    broker.on_message = send
    broker.connect("127.0.0.1", int(port))
    broker.subscribe(f"{OUTGOING}#", qos=1)
    broker.loop_start()
    await client.connect()
    await online.wait()
    broker.publish("peer/state", json.dumps({"state": "online"}), qos=1, retain=True)
    await asyncio.Event().wait()


asyncio.run(main())
