"""itchat and itchat-uos as a bridge: the shortest program that publishes what comes and sends what is ordered.

The argument is the broker's port. Runs with the client's folder and `tests/scenarios/clients` on PYTHONPATH.
"""

from __future__ import annotations

import json
import sys

import redirect_to_simulator  # type: ignore[import-not-found]  # noqa: F401  (first: it redirects the client that is imported next)

import itchat  # type: ignore[import-not-found]  # isort: skip
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

OUTGOING = "peer/out/"

broker = paho.Client(CallbackAPIVersion.VERSION2)
broker.max_inflight_messages_set(100)
handles: dict[str, str] = {"wife": ""}


@itchat.msg_register(itchat.content.TEXT)
def publish(message):
    body = {"text": message["Text"], "user": message["User"]["NickName"], "time": message["CreateTime"]}
    broker.publish("peer/in", json.dumps(body, ensure_ascii=False), qos=1)


def send(_client, _userdata, message):
    itchat.send(message.payload.decode(), handles[message.topic.removeprefix(OUTGOING)])


itchat.login(qrCallback=lambda **_: None, loginCallback=lambda: None)
for friend in itchat.get_friends(update=True):
    handles[friend["RemarkName"] or friend["NickName"]] = friend["UserName"]
handles["wife"] = handles["老婆"]
broker.on_message = send
broker.connect("127.0.0.1", int(sys.argv[1]))
broker.subscribe(f"{OUTGOING}#", qos=1)
broker.loop_start()
broker.publish("peer/state", json.dumps({"state": "online"}), qos=1, retain=True)
itchat.run()
