"""weixin-ilink as its readme shows it: log in, receive, answer, fetch and send media.

Prints what it receives and does as lines of JSON. It waits for a line of input before it sends, and before it ends.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from pathlib import Path

import redirect_to_simulator  # type: ignore[import-not-found]  # noqa: F401  (first: it redirects the client that is imported next)

from weixin_ilink import ILinkClient, login_with_qr  # type: ignore[import-not-found]  # isort: skip

output_lock = threading.Lock()


def report(**values):
    with output_lock:
        sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
        sys.stdout.flush()


credentials = login_with_qr(lambda content: report(what="code", content=content))
report(what="logged in", user=credentials.user_id, bot=credentials.account_id, base=credentials.base_url)
client = ILinkClient(credentials.base_url, credentials.bot_token)
latest: dict[str, object] = {}


def receive():
    while True:
        for message in client.poll().get("msgs") or ():
            latest[message["from_user_id"]] = message["context_token"]
            for item in message["item_list"]:
                if item["type"] in (2, 3, 4, 5):
                    data = client.download_media_item(item)
                    report(what="media", type=item["type"], sha256=hashlib.sha256(data).hexdigest())
            text = client.extract_text(message)
            report(what="message", id=message["message_id"], text=text)
            if text.startswith("开灯"):
                client.send_typing(message["from_user_id"], message["context_token"])
                client.send_text(message["from_user_id"], "好的 ☀", message["context_token"])
                report(what="answered")


threading.Thread(target=receive, daemon=True).start()
report(what="running")
sys.stdin.readline()
for name in json.loads(sys.argv[1]):
    send = {".jpg": client.send_image, ".mp4": client.send_video}.get(Path(name).suffix, client.send_file)
    send(credentials.user_id, Path(name), latest[credentials.user_id])
    report(what="sent")
report(what="done")
