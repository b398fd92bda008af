"""Messages as iLink's servers send them; parameters replace their fields."""

from __future__ import annotations

import base64
from typing import Any

BOT = "0123456789ab@im.bot"
TOKEN = f"{BOT}:SECRETtoken"
ME = "o9cq80TESTUSER01@im.wechat"
OTHER = "o9cq80TESTUSER02@im.wechat"
NOW = 1_790_000_100_000
WROTE = 1_790_000_000_000
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
KEY24 = base64.b64encode(KEY).decode()
KEY44 = base64.b64encode(KEY.hex().encode()).decode()
CDN = "https://novac2c.cdn.weixin.qq.com/c2c"

Json = dict[str, Any]


def text(content: str = "heating on", **more: Any) -> Json:
    return {"type": 1, "text_item": {"text": content}, **more}


def media(**more: Any) -> Json:
    return {"encrypt_query_param": "P1+/=", "aes_key": KEY44, "full_url": f"{CDN}/download?a=SECRET", **more}


def image(**more: Any) -> Json:
    return {"type": 2, "image_item": {"media": media(), "mid_size": 1024, **more}}


def voice(**more: Any) -> Json:
    fields = {"encode_type": 4, "sample_rate": 16000, "playtime": 2320, "text": "开灯", "media": media()}
    return {"type": 3, "voice_item": {**fields, **more}}


def file(**more: Any) -> Json:
    return {"type": 4, "file_item": {"media": media(), "file_name": "report.pdf", "len": "5", **more}}


def video(**more: Any) -> Json:
    return {"type": 5, "video_item": {"media": media(), "video_size": 16, "play_length": 12_000, **more}}


def entry(*items: Json, number: int = 7_500_000_000_000_000_101, **more: Any) -> Json:
    fields = {
        "seq": 7,
        "message_id": number,
        "from_user_id": ME,
        "to_user_id": BOT,
        "create_time_ms": WROTE,
        "message_type": 1,
        "message_state": 2,
        "context_token": "AARzSECRET1",
        "item_list": list(items or (text(),)),
    }
    return {**fields, **more}
