"""Files to send, and the encryption of the CDN, written without the code under test."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.unit.wechat.ilink.entries import KEY, ME
from wx2mqtt.model import Attachment, Blob, Draft, Handle, Kind

MIMES = {Kind.IMAGE: "image/png", Kind.VIDEO: "video/mp4", Kind.FILE: "application/pdf"}


def sealed(plain: bytes, key: bytes = KEY) -> bytes:
    padder = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return cipher.update(padder.update(plain) + padder.finalize()) + cipher.finalize()


def opened(encrypted: bytes, key: bytes = KEY) -> bytes:
    unpadder = padding.PKCS7(128).unpadder()
    cipher = Cipher(algorithms.AES(key), modes.ECB()).decryptor()
    return unpadder.update(cipher.update(encrypted) + cipher.finalize()) + unpadder.finalize()


def draft(
    folder: Path, plain: bytes = b"hello", kind: Kind = Kind.FILE, name: str = "a.pdf", mime: str = ""
) -> Draft:
    file = folder / "file"
    file.write_bytes(plain)
    blob = Blob(sha256=hashlib.sha256(plain).hexdigest(), size=len(plain), mime=mime or MIMES[kind], path="x")
    return Draft(chat=Handle(ME), kind=kind, attachment=Attachment(file=file, name=name, blob=blob))
