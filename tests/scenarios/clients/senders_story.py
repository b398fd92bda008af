"""Clients of ntfy and Gotify for Python, as their readmes show them: each sends a text, and a file where it can.

Arguments: the name of the client, the URL of the server, the token, the folder of the file `door.png`. Prints what
the server answered as lines of JSON; at last what the client makes of a refusal.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from pathlib import Path

name, url, token, folder = sys.argv[1:5]
picture = Path(folder) / "door.png"
WRONG = "w" * 40
sdk = importlib.import_module(name)


def tell(**values):
    sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def with_ntfy_api():
    publisher = sdk.NtfyPublisher(url, basic=("", token))
    text = sdk.Message(
        topic="wife",
        message="disk full\n95 %",
        title="NAS",
        priority=5,
        tags=["warning", "disk"],
        click="http://nas/",
    )
    tell(answer=publisher.publish(text).json())
    by_token = sdk.NtfyPublisher(url, "wife", bearer=token)
    file = sdk.Message(filename="door.png", message="somebody rang", data=picture.read_bytes())
    tell(answer=by_token.publish(file).json())
    raw = {"topic": "wife", "message": "满了", "title": "磁盘", "priority": 4}
    tell(answer=publisher.publish_json(raw).json())
    refused = sdk.NtfyPublisher(url, bearer=WRONG).publish(text)
    tell(refused=refused.status_code, answer=refused.json())


def with_python_ntfy():
    client = sdk.NtfyClient("wife", url, auth=token)
    priority = client.MessagePriority.URGENT
    tell(answer=client.send("磁盘满了", title="NAS", priority=priority, tags=["warning"]))
    actions = [client.ViewAction("Open", "http://nas/")]
    tell(answer=client.send("with a button", actions=actions))
    tell(answer=client.send_file(picture, title="Door"))
    try:
        sdk.NtfyClient("wife", url, auth=("any", WRONG)).send("no")
    except sdk.MessageSendError as error:
        tell(refused=401 if "401" in str(error) else str(error))


def with_ntfpy():
    server, user = sdk.NTFYServer(url), sdk.NTFYUser("any", token)
    client = sdk.NTFYClient(server, "wife", user)
    answer = client.send("磁盘满了", title="NAS ⚠", priority=5, tags=["warning"], click="http://nas/")
    tell(answer=answer.json())
    message = sdk.NTFYPushMessage("with a button", actions=[sdk.NTFYViewAction("Open", "http://nas/")])
    tell(answer=client.send_message(message).json())
    tell(refused=sdk.NTFYClient(server, "wife", sdk.NTFYUser("any", WRONG)).send("no").status_code)


def with_gotify():
    client = sdk.Gotify(base_url=url, app_token=token)
    tell(answer=client.create_message("磁盘满了", title="NAS", priority=8, extras={"a::b": {"c": 1}}))
    tell(answer=client.create_message("without a title"))

    async def later():
        async with sdk.AsyncGotify(base_url=url, app_token=token) as own:
            return await own.create_message("later", title="NAS", priority=2)

    tell(answer=asyncio.run(later()))
    try:
        sdk.Gotify(base_url=url, app_token=WRONG).create_message("no")
    except sdk.GotifyError as error:
        tell(refused=error.error["errorCode"], answer=error.error)


def with_gotipy():
    client = sdk.Gotify(host_address=url, fixed_token=token)
    tell(answer=client.push("NAS", "磁盘满了", priority=9))
    tell(refused=client.push("NAS", "no", token=WRONG)["errorCode"])


globals()[f"with_{name}"]()
