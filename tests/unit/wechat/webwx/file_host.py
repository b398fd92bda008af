"""WeChat's file host in memory: joins the parts of an upload, and refuses what the protocol forbids."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx

from tests.unit.wechat.webwx.forms import read_form
from tests.unit.wechat.webwx.server import answer

PART = 524_288
ORDER = (
    *("id", "name", "type", "lastModifiedDate", "size", "chunks", "chunk", "mediatype"),
    *("uploadmediarequest", "webwx_data_ticket", "pass_ticket", "filename"),
)


class FileHost:
    """Accepts uploads; `files` are the complete ones by MediaId, `forms` the fields of each call."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.forms: list[dict[str, str]] = []
        self._under_way: dict[str, bytes] = {}

    @property
    def names(self) -> list[str]:
        """The name of the file of each call."""
        return [form["name"] for form in self.forms]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        fields = read_form(request.headers["content-type"], request.content)
        form = {field.name: field.text for field in fields if field.filename is None}
        form["filename"] = fields[-1].filename or ""
        asked = json.loads(form["uploadmediarequest"])
        self._check(form, asked, [field.name for field in fields])
        self.forms.append(form)
        whole = self._joined(form, fields[-1].content)
        if whole is None:
            return answer(MediaId="", StartPos=0)
        assert len(whole) == int(form["size"])
        assert hashlib.md5(whole).hexdigest() == asked["FileMd5"]
        media_id = f"@crypt_SECRET{len(self.files)}"
        self.files[media_id] = whole
        return answer(MediaId=media_id, StartPos=len(whole))

    def _check(self, form: dict[str, str], asked: dict[str, Any], names: list[str]) -> None:
        several = int(form["size"]) > PART
        assert names == [name for name in ORDER if several or name not in {"chunk", "chunks"}]
        assert form["webwx_data_ticket"] == "SECRETdt"
        assert form["pass_ticket"] == "SECRET+"
        assert form["filename"] == form["name"]
        assert asked["TotalLen"] == asked["DataLen"] == int(form["size"])
        assert asked["BaseRequest"]["Skey"] == "@crypt_SECRET"

    def _joined(self, form: dict[str, str], content: bytes) -> bytes | None:
        """Returns the whole file once its last part has come."""
        chunks, chunk = int(form.get("chunks", 1)), int(form.get("chunk", 0))
        key = str(json.loads(form["uploadmediarequest"])["ClientMediaId"])
        before = self._under_way.pop(key, b"") if chunk else b""
        assert len(before) == chunk * PART, "parts come in their order"
        assert chunk or key not in self._under_way, "each upload has a key of its own"
        assert len(content) == PART or chunk == chunks - 1
        joined = before + content
        if chunk == chunks - 1:
            return joined
        self._under_way[key] = joined
        return None
