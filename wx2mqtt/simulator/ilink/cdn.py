"""Files on their way to a bot: the CDN's download (ilink 8.4).

Files of a bot on their way to a person: getuploadurl, and the CDN's upload (ilink 8.2).
"""

from __future__ import annotations

import re
from urllib.parse import quote

from wx2mqtt.simulator.http_messages import BodyStream, SimulatedAnswer
from wx2mqtt.simulator.ilink import answers, checks, hosts
from wx2mqtt.simulator.ilink.aes import BadPadding, ciphertext_size, opened
from wx2mqtt.simulator.ilink.answers import Refusal
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.cdn_storage import CdnFile, UploadSlot
from wx2mqtt.simulator.ilink.checks import Call, Fields
from wx2mqtt.simulator.media import ByteSource


async def cdn_download(call: Call) -> SimulatedAnswer:
    """The bytes for a text, encrypted as they lie there."""
    checks.method(call, "GET")
    checks.cdn(call)
    query = call.request.query
    file = call.ilink.storage.files.get(query.get("encrypted_query_param", ""))
    if file is None:
        raise call.refuse(answers.cdn_error("invalid encrypted_query_param"), "there is no such file")
    if file.gone or (file.linked_only and "taskid" not in query):
        return answers.cdn_error("file expired")
    stream = BodyStream(size=file.given.size, pieces=file.given.pieces())
    return SimulatedAnswer(stream=stream, content_type="application/octet-stream")


_HEX = re.compile("[0-9a-fA-F]{32}")


_MEDIA_TYPES = range(1, 5)


_BAD_DATA = "-5102031"


async def getuploadurl(call: Call) -> SimulatedAnswer:
    """A place for a file."""
    bot, fields = checks.signed(call)
    if fields.get("to_user_id") != bot.user_id:
        raise call.refuse(answers.json(ret=-1), "to_user_id is not the one who bound this bot")
    if "context_token" in fields:
        call.oddity("context_token, which this call does not have")
    slot = _slot(call, bot, fields)
    links = _links(call, bot, slot, "upload")
    if not _no_thumb(call, fields):
        links |= _links(call, bot, _slot(call, bot, fields, "thumb_"), "thumb_upload")
    return answers.json(ret=0, **links)


def _slot(call: Call, bot: Bot, fields: Fields, part: str = "") -> UploadSlot:
    size, filesize = fields.get(f"{part}rawsize"), fields.get(f"{part}filesize")
    if type(size) is not int or type(filesize) is not int or size < 0 or filesize != ciphertext_size(size):
        raise call.invalid(f"{part}filesize is not {part}rawsize filled up to the next 16 bytes")
    media_type = fields.get("media_type")
    if media_type not in _MEDIA_TYPES:
        raise call.invalid("media_type is not 1, 2, 3 or 4")
    limit = call.ilink.settings.media_limit
    if limit and size > limit:
        raise call.refuse(answers.json(ret=-1, errmsg="file too large"), "the file is too large")
    slot = UploadSlot(
        param=call.ilink.storage.new_param(),
        filekey=_hex(call, fields, "filekey"),
        media_type=int(str(media_type)),
        person=bot.person,
        key=bytes.fromhex(_hex(call, fields, "aeskey")),
        size=size,
        md5=_hex(call, fields, f"{part}rawfilemd5").lower(),
        ciphertext_size=filesize,
        thumb=bool(part),
    )
    call.ilink.storage.reserve(slot)
    return slot


def _hex(call: Call, fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise call.invalid(f"{name} is not 32 hex characters")
    return value


def _no_thumb(call: Call, fields: Fields) -> bool:
    wanted = any(name.startswith("thumb_") for name in fields)
    if wanted is (fields.get("no_need_thumb") is True):
        raise call.invalid("no_need_thumb is not true, or there are thumb_ fields all the same")
    return not wanted


def _links(call: Call, bot: Bot, slot: UploadSlot, name: str) -> Fields:
    """As the setting says: the whole URL, the text for a URL of one's own, both, or none."""
    wanted = call.ilink.settings.upload_url
    query = f"encrypted_query_param={quote(slot.param, safe='')}&filekey={slot.filekey}"
    links: Fields = {}
    if wanted in ("full", "both"):
        links[f"{name}_full_url"] = f"{hosts.cdn_of(bot.address)}/upload?{query}&taskid={slot.filekey[:12]}"
    if wanted in ("param", "both"):
        links[f"{name}_param"] = slot.param
    return links


# the CDN


async def cdn_upload(call: Call) -> SimulatedAnswer:
    """Take the ciphertext; the header of the answer names it from now on."""
    checks.method(call, "POST")
    checks.cdn(call)
    if call.request.headers.get("content-type") != "application/octet-stream":
        call.oddity("Content-Type is not application/octet-stream")
    storage, settings, query = call.ilink.storage, call.ilink.settings, call.request.query
    slot = storage.slots.get(query.get("encrypted_query_param", ""))
    if slot is None or slot.filekey != query.get("filekey"):
        raise bad(call, "encrypted_query_param and filekey are not those of an upload")
    content = call.request.content
    full = "taskid" in query or settings.upload_url == "param"
    if not full and settings.own_url_limit and content.size > settings.own_url_limit:
        return answers.page(500)
    file = _checked(call, slot, content)
    if settings.upload_answer == "refuse":
        return answers.cdn_error("upload refused", _BAD_DATA)
    if settings.upload_answer == "no_header":
        return answers.nothing()
    return SimulatedAnswer(headers=(("x-encrypted-param", storage.put(file)),))


def _checked(call: Call, slot: UploadSlot, content: ByteSource) -> CdnFile:
    if content.size != slot.ciphertext_size:
        raise bad(call, "the body has not filesize bytes")
    try:
        plain = opened(content, slot.key)
    except BadPadding as error:
        raise bad(call, str(error)) from None
    if plain.size != slot.size or plain.md5 != slot.md5:
        raise bad(call, "what comes out has not rawsize bytes, or not rawfilemd5")
    return CdnFile(given=content, slot=slot, plain=plain)


def bad(call: Call, what: str) -> Refusal:
    """The CDN refuses: the reason stands in a header."""
    return call.refuse(answers.cdn_error("invalid data", _BAD_DATA), what)
