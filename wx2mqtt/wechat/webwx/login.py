"""What the exchange of the ticket brings: a session, or a refusal with words for the owner (webwx 2.4)."""

from __future__ import annotations

from wx2mqtt.errors import LoginRefused
from wx2mqtt.wechat.webwx.codes import Ret
from wx2mqtt.wechat.webwx.cookies import Cookies
from wx2mqtt.wechat.webwx.responses import NewLogin
from wx2mqtt.wechat.webwx.session import Session
from wx2mqtt.wechat.webwx.words import say
from wx2mqtt.words import Language


def session_from(
    answer: NewLogin, cookies: Cookies, *, base: str, login_id: str, device_id: str, language: Language
) -> Session:
    """The session in the answer; in desktop mode sid and uin sometimes come as cookies only (webwx 2.4).

    Raises `LoginRefused`.
    """
    sid = answer.sid or cookies.value("wxsid")
    uin = answer.uin or cookies.value("wxuin")
    if answer.ret != Ret.OK or not (answer.skey and sid and uin):
        raise refusal(answer, language)
    return Session(
        login_id=login_id,
        base=base,
        uin=uin,
        sid=sid,
        skey=answer.skey,
        pass_ticket=answer.pass_ticket,
        device_id=device_id,
    )


def refusal(answer: NewLogin, language: Language) -> LoginRefused:
    """Why WeChat lets nobody in, in its own words where it has some."""
    if answer.ret != Ret.OK and answer.message:
        return LoginRefused(say(language, "refused", ret=answer.ret, message=answer.message))
    if answer.ret != Ret.OK:
        return LoginRefused(say(language, "refused_silently", ret=answer.ret))
    return LoginRefused(say(language, "refused_by_page" if answer.page else "refused_without_key"))
