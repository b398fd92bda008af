import json

import pytest

from wx2mqtt.wechat.json_reader import UnreadableJson
from wx2mqtt.wechat.wecom.protocol.frames import (
    Answer,
    Callback,
    FrameCommand,
    new_request_id,
    read_frame,
    request_frame,
)


def test_an_answer_has_no_command():
    frame = b'{"headers": {"req_id": "r1"}, "errcode": 846609, "errmsg": "not subscribed"}'
    assert read_frame(frame) == Answer(request_id="r1", errcode=846609, errmsg="not subscribed")


def test_the_words_of_an_error_are_one_line_without_what_may_be_a_secret():
    frame = {"headers": {"req_id": "r1"}, "errcode": 1, "errmsg": f"bad\nsecret {'aB3' * 15} given"}
    answer = read_frame(json.dumps(frame).encode())
    assert isinstance(answer, Answer)
    assert answer.errmsg == "bad secret … given"


def test_a_callback_has_a_command_and_what_it_says():
    frame = b'{"cmd": "aibot_msg_callback", "headers": {"req_id": "r1"}, "body": {"msgid": "m"}}'
    expected = Callback(command="aibot_msg_callback", request_id="r1", body={"msgid": "m"})
    assert read_frame(frame) == expected


def test_raw_control_characters_are_dropped():
    frame = b'{"cmd": "x",\x00\x0b "headers": {"req_id": "r\x1f1"}, "body": {"text": "a\tb\x07"}}'
    assert read_frame(frame) == Callback(command="x", request_id="r1", body={"text": "a\tb"})


@pytest.mark.parametrize(
    "frame",
    [b"", b"hello", b"[]", b"1", b"{}", b'{"headers": {"req_id": "r1"}}', b'{"errcode": 0}', b'{"cmd": 7.5}'],
)
def test_a_frame_that_is_neither_an_answer_nor_a_callback_is_unreadable(frame):
    with pytest.raises(UnreadableJson):
        read_frame(frame)


def test_a_request_is_one_object_with_its_id():
    request_id = new_request_id(FrameCommand.PING, 1_790_000_000_000, b"\x0a\x1b\x2c\x3d\x4e")
    assert request_id == "ping_1790000000000_0a1b2c3d"
    assert json.loads(request_frame(FrameCommand.PING, request_id)) == {
        "cmd": "ping",
        "headers": {"req_id": request_id},
    }
    assert json.loads(request_frame(FrameCommand.SEND, "r", {"text": "好"}))["body"] == {"text": "好"}


def test_a_lone_surrogate_is_refused():
    with pytest.raises(UnicodeEncodeError):
        request_frame(FrameCommand.SEND, "r", {"text": "\ud800"})
