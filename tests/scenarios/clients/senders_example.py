"""Clients of ntfy and Gotify for Python, as their readmes show them: each sends a text, and a file where it can.

Arguments: the name of the client, the URL of the server, the token, the folder of the file `door.png`. Prints what
the server answered as lines of JSON; and at last how the client reports a refusal.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import sys
import typing
from pathlib import Path

name, url, token, folder = sys.argv[1:5]
picture = Path(folder) / "door.png"
WRONG_TOKEN = "w" * 40
sdk = importlib.import_module(name)


def report(**values):
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
    report(answer=publisher.publish(text).json())
    by_token = sdk.NtfyPublisher(url, "wife", bearer=token)
    file = sdk.Message(filename="door.png", message="somebody rang", data=picture.read_bytes())
    report(answer=by_token.publish(file).json())
    raw = {"topic": "wife", "message": "满了", "title": "磁盘", "priority": 4}
    report(answer=publisher.publish_json(raw).json())
    refused = sdk.NtfyPublisher(url, bearer=WRONG_TOKEN).publish(text)
    report(refused=refused.status_code, answer=refused.json())


def with_python_ntfy():
    client = sdk.NtfyClient("wife", url, auth=token)
    priority = client.MessagePriority.URGENT
    report(answer=client.send("磁盘满了", title="NAS", priority=priority, tags=["warning"]))
    actions = [client.ViewAction("Open", "http://nas/")]
    report(answer=client.send("with a button", actions=actions))
    report(answer=client.send_file(picture, title="Door"))
    try:
        sdk.NtfyClient("wife", url, auth=("any", WRONG_TOKEN)).send("no")
    except sdk.MessageSendError as error:
        report(refused=401 if "401" in str(error) else str(error))


def with_ntfpy():
    server, user = sdk.NTFYServer(url), sdk.NTFYUser("any", token)
    client = sdk.NTFYClient(server, "wife", user)
    answer = client.send("磁盘满了", title="NAS ⚠", priority=5, tags=["warning"], click="http://nas/")
    report(answer=answer.json())
    message = sdk.NTFYPushMessage("with a button", actions=[sdk.NTFYViewAction("Open", "http://nas/")])
    report(answer=client.send_message(message).json())
    report(refused=sdk.NTFYClient(server, "wife", sdk.NTFYUser("any", WRONG_TOKEN)).send("no").status_code)


def with_aiontfy():
    """It decodes each answer into a dataclass, and fails for a field that is missing or of another type."""
    aiohttp, yarl = importlib.import_module("aiohttp"), importlib.import_module("yarl")
    errors = importlib.import_module("aiontfy.exceptions")

    def values(notification):
        fields = dataclasses.asdict(notification).items()
        return {
            name: value if isinstance(value, int | list) else str(value) for name, value in fields if value
        }

    async def publish():
        async with aiohttp.ClientSession() as session:
            client = sdk.Ntfy(url, session, token=token)
            text = sdk.Message(
                topic="wife",
                message="磁盘满了",
                title="NAS",
                priority=4,
                tags=["warning", "disk"],
                click=yarl.URL("http://nas/"),
            )
            report(answer=values(await client.publish(text)))
            report(answer=values(await client.publish(sdk.Message(topic="wife", message="only a text"))))
            file = sdk.Message(topic="wife", filename="door.png", title="Door")
            report(answer=values(await client.publish(file, picture.read_bytes())))
            try:
                await sdk.Ntfy(url, session, token=WRONG_TOKEN).publish(text)
            except errors.NtfyHTTPError as error:
                report(refused=error.http, error=error.error)

    asyncio.run(publish())


def with_gotify():
    client = sdk.Gotify(base_url=url, app_token=token)
    types = typing.get_type_hints(sdk.gotify.Message)
    for values in ({"title": "NAS", "priority": 8, "extras": {"a::b": {"c": 1.5}}}, {}):
        answer = client.create_message("磁盘满了", **values)
        report(answer=answer, is_typed=all(isinstance(answer[name], types[name]) for name in answer))

    async def send_asynchronously():
        async with sdk.AsyncGotify(base_url=url, app_token=token) as own:
            return await own.create_message("later", title="NAS", priority=2)

    report(answer=asyncio.run(send_asynchronously()))
    try:
        sdk.Gotify(base_url=url, app_token=WRONG_TOKEN).create_message("no")
    except sdk.GotifyError as error:
        report(refused=error.error["errorCode"], answer=error.error)


def with_gotipy():
    client = sdk.Gotify(host_address=url, fixed_token=token)
    report(answer=client.push("NAS", "磁盘满了", priority=9))
    report(refused=client.push("NAS", "no", token=WRONG_TOKEN)["errorCode"])


globals()[f"with_{name}"]()
