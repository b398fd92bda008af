"""Every sentence that the web server says, in English and Chinese; machines go by the status."""

from __future__ import annotations

import re

from wx2mqtt.words import Language

WORDS: dict[str, tuple[str, str]] = {
    # refusals
    "foreign_host": (
        "this server does not answer to that name; put it into web.hosts, or the whole address into web.url",
        "本服务器不使用这个名称;请把它写入 web.hosts,或在 web.url 中写明外部地址",
    ),
    "foreign_origin": (
        "that came from a page of another site; if that is this server's own name, put it into web.hosts",
        "请求来自其他网站的页面;如果那是本服务器自己的名称,请写入 web.hosts",
    ),
    "head_too_large": ("the head of the request is too large", "请求头过大"),
    "body_too_large": ("that is more than this server reads", "请求内容过大"),
    "body_too_slow": ("the request did not come to its end in time", "请求未能及时传完"),
    "log_in_first": (
        "log in, or send the token of web.token_file as 'Authorization: Bearer …'",
        "请先登录,或用“Authorization: Bearer …”发送 web.token_file 中的令牌",
    ),
    "wrong_token": ("that is not the token of web.token_file", "令牌与 web.token_file 中的不符"),
    "too_often": (
        "too many wrong tries from your address; try again in {seconds} s",
        "来自您地址的错误尝试过多;请在 {seconds} 秒后再试",
    ),
    "internal": ("the bridge could not do it; its log says why", "桥接程序出错;原因见日志"),
    # media
    "unknown_media": ("there is nothing of this id", "没有这个编号的文件"),
    "pending": ("the bytes are not here yet{why}; ask again later", "文件尚未取得{why};请稍后再试"),
    "failed": ("the bytes could not be fetched{why}", "无法取得文件{why}"),
    "too_large": (
        "larger than media.max_size, and not fetched{why}",
        "超过 media.max_size 的限制,未下载{why}",
    ),
    "gone": ("the bytes are no longer to be had{why}", "文件已无法取得{why}"),
    "range": ("the file has {size} bytes", "文件共有 {size} 字节"),
    # the login
    "title": ("Log in", "登录"),
    "password": ("Password", "密码"),
    "log_in": ("Log in", "登录"),
    "log_out": ("Log out", "退出登录"),
    "wrong_password": ("That is not the password.", "密码不正确。"),
    "wait_first": (
        "Too many wrong tries from your address. Try again in {seconds} s.",
        "来自您地址的错误尝试过多。请在 {seconds} 秒后再试。",
    ),
    "logged_in": ("You are logged in.", "您已登录。"),
    "no_password": ("No password is needed here.", "此处不需要密码。"),
    "to_page": ("To the page", "进入页面"),
    # the page
    "unknown_account": ("there is no account of that name", "没有这个名称的账号"),
    "no_code": ("no code is to be scanned now", "目前没有需要扫描的二维码"),
    "nothing_here": ("there is nothing of this name", "没有这个名称的文件"),
    "not_stored": ("the store does not take it; nothing was sent", "存储无法写入;未发送任何内容"),
    "too_many_viewers": (
        "too many look on already; reload the page to see what is new",
        "同时查看的人过多;请刷新页面查看最新内容",
    ),
}

_WISH = re.compile(r"\s*([A-Za-z*-]{1,20})\s*(?:;\s*q\s*=\s*([0-9.]{1,5})\s*)?", re.ASCII)


def say(language: Language, word: str, **facts: object) -> str:
    """The sentence of that name."""
    english, chinese = WORDS[word]
    return (chinese if language == "zh" else english).format_map(facts)


def spoken(accept_language: str, usual: Language) -> Language:
    """Which of our languages the client wants most (RFC 9110, 12.5.4); `usual` where it does not say."""
    wishes: list[tuple[float, Language]] = []
    for part in accept_language[:500].split(","):
        found = _WISH.fullmatch(part)
        tag = found[1].lower().partition("-")[0] if found else ""
        if found and tag in {"en", "zh"}:
            wishes.append((_quality(found[2]), "zh" if tag == "zh" else "en"))
    best = max(wishes, key=lambda wish: wish[0], default=(0.0, usual))
    return best[1] if best[0] > 0 else usual


def _quality(written: str | None) -> float:
    try:
        return 1.0 if written is None else float(written)
    except ValueError:
        return 0.0
