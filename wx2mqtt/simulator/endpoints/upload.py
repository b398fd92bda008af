"""Uploads: webwxcheckupload and webwxuploadmedia (webwx 2.13, 2.14)."""

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
    PART_BYTES,
    BadForm,
    BadUpload,
    FinishedUpload,
    MediaType,
    ReceivedField,
    UploadDeclaration,
)

RET_CHECK_FIRST = 402

_CORS: Headers = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "POST, OPTIONS"),
    ("access-control-allow-headers", "content-type"),
)
_REQUIRED_FIELDS = (
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
_KNOWN_FIELDS = frozenset({*_REQUIRED_FIELDS, "id", "chunks", "chunk"})
_FIXED_VALUES = {"UploadType": 2, "StartPos": 0, "MediaType": 4}
_MD5 = re.compile("[0-9a-f]{32}")
_FILE_TYPE_LARGE = 7  # FileType of webwxcheckupload


async def webwxuploadmedia(call: Call) -> SimulatedAnswer:
    """Stores one part of a file, or a whole small file; the answer of the last part has the MediaId."""
    if call.request.method == "OPTIONS":
        return SimulatedAnswer(headers=_CORS)
    checks.require_method(call, "POST")
    if call.request.query.get("f") != "json":
        call.record_oddity("no f=json")
    form = _form(call)
    upload_request = checks.parse_json(call, form["uploadmediarequest"].content, "uploadmediarequest")
    session = checks.session_of_base_request(call, upload_request, Role.FILE)
    _check_tickets(call, session, form)
    _check_user_names(call, session, upload_request)
    declaration = _declaration(call, form, upload_request)
    _check_sizes(call, session, declaration, upload_request)
    try:
        upload = session.uploads.accept_part(
            declaration, _number(form, "chunk") or 0, form["filename"].content
        )
    except BadUpload as bad:
        raise call.refusal(PARAMETER_ERROR, str(bad)) from None
    return _upload_answer(call, upload.content.size, upload.finished)


def _upload_answer(call: Call, received: int, finished: FinishedUpload | None) -> SimulatedAnswer:
    if finished is not None:
        call.wechat.register_upload(finished.content)
    return answers.json(
        0,
        _CORS,
        MediaId=finished.media_id if finished else "",
        StartPos=received,
        CDNThumbImgHeight=0,
        CDNThumbImgWidth=0,
        EncryFileName="",
    )


# Fields of the form


def _form(call: Call) -> dict[str, ReceivedField]:
    try:
        form = uploads.parse_form(call.request.headers.get("content-type", ""), call.request.body)
    except BadForm as bad:
        raise call.refusal(PARAMETER_ERROR, str(bad)) from None
    missing = [name for name in _REQUIRED_FIELDS if name not in form]
    if missing:
        raise call.refusal(PARAMETER_ERROR, f"the form lacks {', '.join(missing)}")
    if not form.keys() <= _KNOWN_FIELDS:
        raise call.refusal(PARAMETER_ERROR, "the form has a field that WeChat does not know")
    _check_form_fields(call, form)
    return form


def _check_form_fields(call: Call, form: dict[str, ReceivedField]) -> None:
    if "id" not in form:
        call.record_oddity("no id (wechat4u)")
    elif not re.fullmatch(rb"WU_FILE_[0-9]+", form["id"].content):
        call.record_oddity("id is not WU_FILE_ and a number")
    if not form["filename"].filename:
        raise call.refusal(PARAMETER_ERROR, "the file part has no filename")
    name = form["name"].content.decode("utf-8", "replace")
    if form["filename"].filename != uploads.escaped_filename(name):
        call.record_oddity("name is not the filename of the file part")


def _number(form: dict[str, ReceivedField], name: str) -> int | None:
    part = form.get(name)
    return int(part.content) if part and re.fullmatch(rb"[0-9]{1,12}", part.content) else None


def _check_tickets(call: Call, session: SimulatedSession, form: dict[str, ReceivedField]) -> None:
    checks.require_data_ticket(call, session, form["webwx_data_ticket"].content.decode("latin-1"))
    if form["pass_ticket"].content.decode("latin-1") != session.pass_ticket:
        call.record_oddity("the pass_ticket of the form is not the decoded one (itchat, wechat4u)")


# The JSON in the field uploadmediarequest


def _check_user_names(call: Call, session: SimulatedSession, upload_request: Fields) -> None:
    checks.require_own_user_name(call, session, upload_request.get("FromUserName"))
    if session.id_of(str(upload_request.get("ToUserName"))) is None:
        raise call.refusal(PARAMETER_ERROR, "ToUserName is unknown in this login")


def _declaration(call: Call, form: dict[str, ReceivedField], upload_request: Fields) -> UploadDeclaration:
    wrong = [key for key, value in _FIXED_VALUES.items() if upload_request.get(key) != value]
    if wrong or not re.fullmatch(r"[0-9]{10,20}", str(upload_request.get("ClientMediaId"))):
        raise call.refusal(
            PARAMETER_ERROR, f"wrong in uploadmediarequest: {', '.join(wrong) or 'ClientMediaId'}"
        )
    size = _number(form, "size")
    name = form["name"].content.decode("utf-8", "replace")
    if size is None or upload_request.get("TotalLen") != size or upload_request.get("DataLen") != size:
        raise call.refusal(PARAMETER_ERROR, "size, TotalLen and DataLen are not the same number")
    media_type = _media_type(call, form, name)
    return UploadDeclaration(
        key=str(upload_request["ClientMediaId"]),
        name=name,
        size=size,
        media_type=media_type,
        md5=_md5(call, upload_request),
        part_count=_part_count(call, form, size),
        signature=str(upload_request.get("Signature", "")),
    )


def _media_type(call: Call, form: dict[str, ReceivedField], name: str) -> MediaType:
    form_value = form["mediatype"].content.decode("latin-1")
    media_type = next((name for name in MEDIA_TYPES if name == form_value), None)
    if media_type is None or not uploads.extension_fits(form["filename"].filename or name, media_type):
        raise call.refusal(PARAMETER_ERROR, "mediatype is not pic, video or doc, or not for such a name")
    return media_type


def _md5(call: Call, upload_request: Fields) -> str:
    md5 = upload_request.get("FileMd5", "")
    if md5 == "":
        call.record_oddity("no FileMd5 (wechat4u)")
        return ""
    if not isinstance(md5, str) or not _MD5.fullmatch(md5):
        raise call.refusal(PARAMETER_ERROR, "FileMd5 is not 32 hex digits in lower case")
    return md5


def _part_count(call: Call, form: dict[str, ReceivedField], size: int) -> int:
    """Returns the number of parts; a form without `chunks` and `chunk` is one part of at most 512 KiB."""
    needed = max(1, -(-size // PART_BYTES))
    if "chunks" not in form and "chunk" not in form:
        if needed > 1:
            raise call.refusal(PARAMETER_ERROR, "more than 524288 bytes without chunks and chunk")
        return 1
    chunks = _number(form, "chunks")
    chunk = _number(form, "chunk")
    if chunks != needed or chunk is None or chunk >= needed:
        raise call.refusal(PARAMETER_ERROR, "chunks and chunk do not fit the size")
    if needed == 1:
        call.record_oddity("chunks and chunk although there is one part")
    return needed


def _check_sizes(
    call: Call, session: SimulatedSession, declaration: UploadDeclaration, upload_request: Fields
) -> None:
    settings = call.wechat.settings
    size = declaration.size
    if not size:
        raise call.refusal(PARAMETER_ERROR, "an empty file")
    if len(declaration.name.encode()) > settings.name_limit:
        raise call.refusal(PARAMETER_ERROR, "the name is too long")
    too_large = size > settings.file_limit
    if declaration.media_type != "doc":
        too_large = size >= settings.media_limit
    if too_large:
        raise call.refusal(PARAMETER_ERROR, "the file is too large")
    if size > settings.check_above:
        _check_permit(call, session, declaration, upload_request)


def _check_permit(
    call: Call, session: SimulatedSession, declaration: UploadDeclaration, upload_request: Fields
) -> None:
    permit = session.uploads.permit_for(declaration.md5)
    if permit is None or permit.size != declaration.size:
        raise call.refusal(RET_CHECK_FIRST, "a large file without webwxcheckupload")
    if (upload_request.get("AESKey"), upload_request.get("Signature")) != (permit.aes_key, permit.signature):
        raise call.refusal(RET_CHECK_FIRST, "AESKey and Signature are not those of webwxcheckupload")


# The permit for large files


async def webwxcheckupload(call: Call) -> SimulatedAnswer:
    """Returns the MediaId of a file that WeChat knows; otherwise the keys that a large upload must carry."""
    session, body = checks.authenticated_body(call)
    _check_user_names(call, session, body)
    name = body.get("FileName")
    size = body.get("FileSize")
    md5 = _md5(call, body)
    if (
        body.get("FileType") != _FILE_TYPE_LARGE
        or not isinstance(name, str)
        or type(size) is not int
        or not md5
    ):
        raise call.refusal(PARAMETER_ERROR, "FileType, FileName, FileSize or FileMd5 is wrong")
    if size > call.wechat.settings.file_limit:
        raise call.refusal(PARAMETER_ERROR, "the file is too large")
    permit = session.uploads.grant_permit(md5, size)
    content = call.wechat.files.get((md5, size)) if call.wechat.settings.instant_upload else None
    finished = _known_file(session, name, content, permit.signature)
    return answers.json(
        0,
        MediaId=finished.media_id if finished else "",
        AESKey=permit.aes_key,
        Signature=permit.signature,
        EncryFileName="",
    )


def _known_file(
    session: SimulatedSession, name: str, content: ByteSource | None, signature: str
) -> FinishedUpload | None:
    return session.uploads.add(name, "doc", content, signature) if content else None
