"""What the calls over HTTP return, and which error each bad answer raises."""

from __future__ import annotations

import httpx
import pytest

from tests.support.backend_options import backend_options
from tests.support.httpx_transport import HttpxTransport
from tests.unit.wechat.rig import ManualClock, MemoryVault
from wx2mqtt.errors import Unreachable
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.wecom.protocol.endpoints import GENERATE
from wx2mqtt.wechat.wecom.wecom_http import WeComHttp

URL = "https://work.weixin.qq.com/ai/qc/generate"


def http_with(answer: httpx.Response | Exception) -> tuple[WeComHttp, list[httpx.Request]]:
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    options = backend_options(credentials=MemoryVault(), clock=ManualClock().as_clock())
    return WeComHttp(options, HttpxTransport(httpx.MockTransport(handle))), requests


async def test_an_answer_is_a_json_object() -> None:
    http, _ = http_with(httpx.Response(200, json={"data": {"scode": "s"}}))
    assert await http.call_json(GENERATE, URL) == {"data": {"scode": "s"}}
    await http.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(500, json={}), BadAnswer),
        (httpx.Response(302, headers={"location": "https://evil.example"}), BadAnswer),
        (httpx.Response(200, content=b"<html>"), BadAnswer),
        (httpx.Response(200, content=b"[]"), BadAnswer),
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ReadTimeout("x"), Unreachable),
    ],
)
async def test_anything_else_is_an_error_after_which_the_call_may_be_repeated(
    answer: httpx.Response | Exception, error: type[Exception]
) -> None:
    http, _ = http_with(answer)
    with pytest.raises(error):
        await http.call_json(GENERATE, URL)
    await http.close()


async def test_an_answer_beyond_the_limit_of_its_call_is_not_read() -> None:
    http, _ = http_with(httpx.Response(200, content=b" " * (GENERATE.limit + 1) + b"{}"))
    with pytest.raises(Unreachable):
        await http.call_json(GENERATE, URL)
    await http.close()


async def test_a_file_comes_as_it_is_with_any_status() -> None:
    http, requests = http_with(httpx.Response(404, content=b"gone"))
    async with http.download("https://storage.example/file?sign=x") as response:
        assert (response.status, await response.read(100)) == (404, b"gone")
    assert requests[0].headers["accept-encoding"] == "identity"
    await http.close()
