"""Files on their way to a bot: the CDN's download (ilink 8.4)."""

from __future__ import annotations

from wx2mqtt.simulator.exchange import Answer, Stream
from wx2mqtt.simulator.ilink import answers, checks
from wx2mqtt.simulator.ilink.checks import Call


async def cdn_download(call: Call) -> Answer:
    """The bytes for a text, encrypted as they lie there."""
    checks.method(call, "GET")
    checks.cdn(call)
    query = call.request.query
    file = call.network.storage.files.get(query.get("encrypted_query_param", ""))
    if file is None:
        raise call.refuse(answers.cdn_error("invalid encrypted_query_param"), "there is no such file")
    if file.gone or (file.linked_only and "taskid" not in query):
        return answers.cdn_error("file expired")
    stream = Stream(size=file.given.size, pieces=file.given.pieces())
    return Answer(stream=stream, content_type="application/octet-stream")
