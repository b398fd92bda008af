"""Media transfer: getuploadurl, and uploads to and downloads from the CDN (ilink 8.2, 8.4)."""

from __future__ import annotations

import re
from urllib.parse import quote

from wx2mqtt.simulator.http_messages import BodyStream, SimulatedAnswer
from wx2mqtt.simulator.ilink import answers, checks, hosts
from wx2mqtt.simulator.ilink.aes import BadPadding, ciphertext_size, decrypt
from wx2mqtt.simulator.ilink.answers import Refusal
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.cdn_storage import CdnFile, UploadSlot
from wx2mqtt.simulator.ilink.checks import Call, Fields
from wx2mqtt.simulator.media import ByteSource


async def cdn_download(call: Call) -> SimulatedAnswer:
    checks.require_method(call, "GET")
    checks.require_cdn(call)
    query = call.request.query
    file = call.ilink.storage.files.get(query.get("encrypted_query_param", ""))
    if file is None:
        raise call.refusal(answers.cdn_error("invalid encrypted_query_param"), "there is no such file")
    if file.gone or (file.full_url_only and "taskid" not in query):
        return answers.cdn_error("file expired")
    stream = BodyStream(size=file.content.size, pieces=file.content.pieces())
    return SimulatedAnswer(stream=stream, content_type="application/octet-stream")


_HEX_MD5 = re.compile("[0-9a-fA-F]{32}")
_MEDIA_TYPES = range(1, 5)
_ERROR_BAD_DATA = "-5102031"


async def getuploadurl(call: Call) -> SimulatedAnswer:
    bot, fields = checks.authenticated(call)
    if fields.get("to_user_id") != bot.user_id:
        raise call.refusal(answers.json(ret=-1), "to_user_id is not the one who bound this bot")
    if "context_token" in fields:
        call.record_oddity("context_token, which this call does not have")
    slot = _slot(call, bot, fields)
    links = _links(call, bot, slot, "upload")
    if not _check_thumbnail_fields(call, fields):
        links |= _links(call, bot, _slot(call, bot, fields, "thumb_"), "thumb_upload")
    return answers.json(ret=0, **links)


def _slot(call: Call, bot: Bot, fields: Fields, part: str = "") -> UploadSlot:
    size = fields.get(f"{part}rawsize")
    filesize = fields.get(f"{part}filesize")
    if type(size) is not int or type(filesize) is not int or size < 0 or filesize != ciphertext_size(size):
        raise call.invalid_argument(f"{part}filesize is not {part}rawsize filled up to the next 16 bytes")
    media_type = fields.get("media_type")
    if media_type not in _MEDIA_TYPES:
        raise call.invalid_argument("media_type is not 1, 2, 3 or 4")
    limit = call.ilink.settings.media_limit
    if limit and size > limit:
        raise call.refusal(answers.json(ret=-1, errmsg="file too large"), "the file is too large")
    slot = UploadSlot(
        param=call.ilink.storage.new_param(),
        filekey=_hex_field(call, fields, "filekey"),
        media_type=int(str(media_type)),
        person=bot.person,
        key=bytes.fromhex(_hex_field(call, fields, "aeskey")),
        size=size,
        md5=_hex_field(call, fields, f"{part}rawfilemd5").lower(),
        ciphertext_size=filesize,
        is_thumbnail=bool(part),
    )
    call.ilink.storage.reserve(slot)
    return slot


def _hex_field(call: Call, fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not _HEX_MD5.fullmatch(value):
        raise call.invalid_argument(f"{name} is not 32 hex characters")
    return value


def _check_thumbnail_fields(call: Call, fields: Fields) -> bool:
    has_thumbnail = any(name.startswith("thumb_") for name in fields)
    if has_thumbnail is (fields.get("no_need_thumb") is True):
        raise call.invalid_argument("no_need_thumb is not true, or there are thumb_ fields all the same")
    return not has_thumbnail


def _links(call: Call, bot: Bot, slot: UploadSlot, name: str) -> Fields:
    """Returns a full URL, a parameter for the program's own URL, both, or none, as the setting says."""
    url_setting = call.ilink.settings.upload_url
    query = f"encrypted_query_param={quote(slot.param, safe='')}&filekey={slot.filekey}"
    links: Fields = {}
    if url_setting in ("full", "both"):
        links[f"{name}_full_url"] = (
            f"{hosts.cdn_address(bot.address)}/upload?{query}&taskid={slot.filekey[:12]}"
        )
    if url_setting in ("param", "both"):
        links[f"{name}_param"] = slot.param
    return links


# The CDN upload


async def cdn_upload(call: Call) -> SimulatedAnswer:
    """Stores the ciphertext; a header of the answer has the parameter that names it."""
    checks.require_method(call, "POST")
    checks.require_cdn(call)
    if call.request.headers.get("content-type") != "application/octet-stream":
        call.record_oddity("Content-Type is not application/octet-stream")
    storage = call.ilink.storage
    settings = call.ilink.settings
    query = call.request.query
    slot = storage.slots.get(query.get("encrypted_query_param", ""))
    if slot is None or slot.filekey != query.get("filekey"):
        raise bad_data(call, "encrypted_query_param and filekey are not those of an upload")
    content = call.request.content
    full = "taskid" in query or settings.upload_url == "param"
    if not full and settings.own_url_limit and content.size > settings.own_url_limit:
        return answers.html_page(500)
    file = _decrypted_file(call, slot, content)
    if settings.upload_answer == "refuse":
        return answers.cdn_error("upload refused", _ERROR_BAD_DATA)
    if settings.upload_answer == "no_header":
        return answers.empty_body()
    return SimulatedAnswer(headers=(("x-encrypted-param", storage.put(file)),))


def _decrypted_file(call: Call, slot: UploadSlot, content: ByteSource) -> CdnFile:
    if content.size != slot.ciphertext_size:
        raise bad_data(call, "the body has not filesize bytes")
    try:
        plain = decrypt(content, slot.key)
    except BadPadding as error:
        raise bad_data(call, str(error)) from None
    if plain.size != slot.size or plain.md5 != slot.md5:
        raise bad_data(call, "what comes out has not rawsize bytes, or not rawfilemd5")
    return CdnFile(content=content, slot=slot, plain=plain)


def bad_data(call: Call, problem: str) -> Refusal:
    """Returns the refusal of an upload, with the reason in a header."""
    return call.refusal(answers.cdn_error("invalid data", _ERROR_BAD_DATA), problem)
