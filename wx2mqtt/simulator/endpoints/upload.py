"""Files on their way to WeChat: webwxcheckupload and webwxuploadmedia (webwx 2.13, 2.14)."""

from __future__ import annotations

import re

from wx2mqtt.simulator import answers, checks, uploads
from wx2mqtt.simulator.checks import PARAMETER_ERROR, Call, Fields
from wx2mqtt.simulator.hosts import Role
from wx2mqtt.simulator.http_messages import Headers, SimulatedAnswer
from wx2mqtt.simulator.media import ByteSource
from wx2mqtt.simulator.session import SimulatedSession
from wx2mqtt.simulator.uploads import (
    MEDIA_TYPES,
    PART,
    BadForm,
    BadUpload,
    FinishedUpload,
    MediaType,
    ReceivedField,
    UploadDeclaration,
)

CHECK_FIRST = 402

_CORS: Headers = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "POST, OPTIONS"),
    ("access-control-allow-headers", "content-type"),
)
_WANTED = (
    "name",
    "type",
    "lastModifiedDate",
    "size",
    "mediatype",
    "uploadmediarequest",
    "webwx_data_ticket",
    "pass_ticket",
    "filename",
)
_KNOWN = frozenset({*_WANTED, "id", "chunks", "chunk"})
_FIXED = {"UploadType": 2, "StartPos": 0, "MediaType": 4}
_MD5 = re.compile("[0-9a-f]{32}")
_LARGE_FILE = 7  # FileType of webwxcheckupload


async def webwxuploadmedia(call: Call) -> SimulatedAnswer:
    """One part of a file, or all of a small one. MediaId is in the answer of the last part only."""
    if call.request.method == "OPTIONS":
        return SimulatedAnswer(headers=_CORS)
    checks.method(call, "POST")
    if call.request.query.get("f") != "json":
        call.oddity("no f=json")
    form = _form(call)
    asked = checks.parse_json(call, form["uploadmediarequest"].content, "uploadmediarequest")
    session = checks.base_request(call, asked, Role.FILE)
    _tickets(call, session, form)
    _people(call, session, asked)
    announced = _announced(call, form, asked)
    _sizes(call, session, announced, asked)
    try:
        upload = session.uploads.accept_part(announced, _number(form, "chunk") or 0, form["filename"].content)
    except BadUpload as bad:
        raise call.refuse(PARAMETER_ERROR, str(bad)) from None
    return _taken(call, upload.content.size, upload.ready)


def _taken(call: Call, received: int, ready: FinishedUpload | None) -> SimulatedAnswer:
    if ready is not None:
        call.wechat.register_upload(ready.content)
    return answers.json(
        0,
        _CORS,
        MediaId=ready.media_id if ready else "",
        StartPos=received,
        CDNThumbImgHeight=0,
        CDNThumbImgWidth=0,
        EncryFileName="",
    )


# the form


def _form(call: Call) -> dict[str, ReceivedField]:
    try:
        form = uploads.parse(call.request.headers.get("content-type", ""), call.request.body)
    except BadForm as bad:
        raise call.refuse(PARAMETER_ERROR, str(bad)) from None
    missing = [name for name in _WANTED if name not in form]
    if missing:
        raise call.refuse(PARAMETER_ERROR, f"the form lacks {', '.join(missing)}")
    if not form.keys() <= _KNOWN:
        raise call.refuse(PARAMETER_ERROR, "the form has a field that WeChat does not know")
    _small_fields(call, form)
    return form


def _small_fields(call: Call, form: dict[str, ReceivedField]) -> None:
    if "id" not in form:
        call.oddity("no id (wechat4u)")
    elif not re.fullmatch(rb"WU_FILE_[0-9]+", form["id"].content):
        call.oddity("id is not WU_FILE_ and a number")
    if not form["filename"].filename:
        raise call.refuse(PARAMETER_ERROR, "the file part has no filename")
    if form["filename"].filename.encode() != form["name"].content:
        call.oddity("name is not the filename of the file part")


def _number(form: dict[str, ReceivedField], name: str) -> int | None:
    part = form.get(name)
    return int(part.content) if part and re.fullmatch(rb"[0-9]{1,12}", part.content) else None


def _tickets(call: Call, session: SimulatedSession, form: dict[str, ReceivedField]) -> None:
    checks.data_ticket(call, session, form["webwx_data_ticket"].content.decode("latin-1"))
    if form["pass_ticket"].content.decode("latin-1") != session.pass_ticket:
        call.oddity("the pass_ticket of the form is not the decoded one (itchat, wechat4u)")


# uploadmediarequest


def _people(call: Call, session: SimulatedSession, asked: Fields) -> None:
    checks.own_name(call, session, asked.get("FromUserName"))
    if session.id_of(str(asked.get("ToUserName"))) is None:
        raise call.refuse(PARAMETER_ERROR, "ToUserName is unknown in this login")


def _announced(call: Call, form: dict[str, ReceivedField], asked: Fields) -> UploadDeclaration:
    wrong = [key for key, value in _FIXED.items() if asked.get(key) != value]
    if wrong or not re.fullmatch(r"[0-9]{10,20}", str(asked.get("ClientMediaId"))):
        raise call.refuse(
            PARAMETER_ERROR, f"wrong in uploadmediarequest: {', '.join(wrong) or 'ClientMediaId'}"
        )
    size, name = _number(form, "size"), form["name"].content.decode("utf-8", "replace")
    if size is None or asked.get("TotalLen") != size or asked.get("DataLen") != size:
        raise call.refuse(PARAMETER_ERROR, "size, TotalLen and DataLen are not the same number")
    media_type = _media_type(call, form, name)
    return UploadDeclaration(
        key=str(asked["ClientMediaId"]),
        name=name,
        size=size,
        media_type=media_type,
        md5=_md5(call, asked),
        parts=_parts(call, form, size),
        signature=str(asked.get("Signature", "")),
    )


def _media_type(call: Call, form: dict[str, ReceivedField], name: str) -> MediaType:
    said = form["mediatype"].content.decode("latin-1")
    found = next((one for one in MEDIA_TYPES if one == said), None)
    if found is None or not uploads.fits(form["filename"].filename or name, found):
        raise call.refuse(PARAMETER_ERROR, "mediatype is not pic, video or doc, or not for such a name")
    return found


def _md5(call: Call, asked: Fields) -> str:
    md5 = asked.get("FileMd5", "")
    if md5 == "":
        call.oddity("no FileMd5 (wechat4u)")
        return ""
    if not isinstance(md5, str) or not _MD5.fullmatch(md5):
        raise call.refuse(PARAMETER_ERROR, "FileMd5 is not 32 hex digits in lower case")
    return md5


def _parts(call: Call, form: dict[str, ReceivedField], size: int) -> int:
    """How many parts there are; without chunks and chunk it is one, of at most 512 KiB."""
    needed = max(1, -(-size // PART))
    if "chunks" not in form and "chunk" not in form:
        if needed > 1:
            raise call.refuse(PARAMETER_ERROR, "more than 524288 bytes without chunks and chunk")
        return 1
    chunks, chunk = _number(form, "chunks"), _number(form, "chunk")
    if chunks != needed or chunk is None or chunk >= needed:
        raise call.refuse(PARAMETER_ERROR, "chunks and chunk do not fit the size")
    if needed == 1:
        call.oddity("chunks and chunk although there is one part")
    return needed


def _sizes(call: Call, session: SimulatedSession, declaration: UploadDeclaration, asked: Fields) -> None:
    settings, size = call.wechat.settings, declaration.size
    if not size:
        raise call.refuse(PARAMETER_ERROR, "an empty file")
    if len(declaration.name.encode()) > settings.name_limit:
        raise call.refuse(PARAMETER_ERROR, "the name is too long")
    too_large = size > settings.file_limit
    if declaration.media_type != "doc":
        too_large = size >= settings.media_limit
    if too_large:
        raise call.refuse(PARAMETER_ERROR, "the file is too large")
    if size > settings.check_above:
        _permitted(call, session, declaration, asked)


def _permitted(call: Call, session: SimulatedSession, declaration: UploadDeclaration, asked: Fields) -> None:
    permit = session.uploads.permit_for(declaration.md5)
    if permit is None or permit.size != declaration.size:
        raise call.refuse(CHECK_FIRST, "a large file without webwxcheckupload")
    if (asked.get("AESKey"), asked.get("Signature")) != (permit.aes_key, permit.signature):
        raise call.refuse(CHECK_FIRST, "AESKey and Signature are not those of webwxcheckupload")


# webwxcheckupload


async def webwxcheckupload(call: Call) -> SimulatedAnswer:
    """Does WeChat have that file? Then its MediaId; else what a large upload must carry."""
    session, body = checks.signed_body(call)
    _people(call, session, body)
    name, size, md5 = body.get("FileName"), body.get("FileSize"), _md5(call, body)
    if body.get("FileType") != _LARGE_FILE or not isinstance(name, str) or type(size) is not int or not md5:
        raise call.refuse(PARAMETER_ERROR, "FileType, FileName, FileSize or FileMd5 is wrong")
    if size > call.wechat.settings.file_limit:
        raise call.refuse(PARAMETER_ERROR, "the file is too large")
    permit = session.uploads.permit(md5, size)
    known = call.wechat.files.get((md5, size)) if call.wechat.settings.instant_upload else None
    ready = _instant(session, name, known, permit.signature)
    return answers.json(
        0,
        MediaId=ready.media_id if ready else "",
        AESKey=permit.aes_key,
        Signature=permit.signature,
        EncryFileName="",
    )


def _instant(
    session: SimulatedSession, name: str, known: ByteSource | None, signature: str
) -> FinishedUpload | None:
    return session.uploads.add(name, "doc", known, signature) if known else None
