"""The settings of the simulated WeCom (`POST /sim/wecom/settings`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.settings import AdjustableSettings
from wx2mqtt.simulator.wecom import codes


@dataclass(slots=True, kw_only=True)
class WeComSettings(AdjustableSettings):
    """Settings of the simulated WeCom; every field can change while it runs. Times are in seconds.

    Limits are numbers of events; 0 is no limit.
    """

    # login by scan (wecom 3)
    qr_lifetime: float = 300.0
    autoscan: str = ""  # the id of a person who scans and confirms at once; empty: nobody
    waiting_words: Literal["wait", "all"] = "all"  # `all`: each poll has another word for waiting
    scan_makes: Literal["same", "new"] = "same"  # whether a second scan of a person makes another bot
    # connection (wecom 2)
    close_code: int = 1000  # with which a connection is closed that another one replaces
    heartbeat: float = 90.0  # a connection that has sent no ping for so long is closed
    refusal_pause: float = 60.0  # a subscription sooner after a refusal of the same bot is a violation
    takeover_pause: float = 60.0  # a second take-over sooner after the first one is a violation
    subscribe_limit: int = 30  # a minute and bot
    # receiving (wecom 4)
    offline: Literal["lost", "kept"] = "lost"  # what is written while no program is connected
    repeat_callbacks: bool = False  # each callback comes twice, under another req_id
    unanswered_limit: int = 0  # unanswered messages of a person within six minutes; more are lost
    file_lifetime: float = 300.0
    # sending (wecom 5)
    minute_limit: int = 30  # messages to a chat
    hour_limit: int = 1000
    needs_first_message: bool = True  # a chat in which nobody has written takes nothing: 93001
    spam: str = ""  # a text that contains this is refused with 40201
    stream_seconds: float = 600.0
    event_seconds: float = 5.0  # for the answer to enter_chat and to a press
    text_limit: int = 20_480  # bytes
    repeated_task_id: Literal["refuse", "accept"] = "refuse"  # a second card with the task_id of another
    # uploads (wecom 5.9)
    upload_minute_limit: int = 30
    upload_hour_limit: int = 1000
    upload_lifetime: float = 1800.0
    media_lifetime: float = 259_200.0
    piece_seconds: float = 0.01  # until a piece is answered, so that several can be in flight
    image_limit: int = 10 * 1024 * 1024  # bytes
    video_limit: int = 10 * 1024 * 1024
    voice_limit: int = 2 * 1024 * 1024
    file_limit: int = 20 * 1024 * 1024
    refuse_media: str = ""  # types whose uploads are refused, such as `image video`
    # codes that are not certain
    credentials_code: int = codes.BAD_BOT_ID  # of a subscription with a wrong id or secret
