"""Sentences about a broker: why it refused or ended something, and why no connection could be opened."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from wx2mqtt.i18n import Catalogue, Translations, text

# By reason code of MQTT 5.
REASON_TEXTS: Mapping[int, Translations] = {
    0x00: ("the broker closed the connection", "MQTT 服务器关闭了连接"),
    0x04: (
        "the broker closed the connection and published the will",
        "MQTT 服务器关闭了连接，并发布了遗嘱消息",
    ),
    0x80: ("the broker gave no reason", "MQTT 服务器没有说明原因"),
    0x81: ("the broker could not read what was sent", "MQTT 服务器读不懂收到的内容"),
    0x82: ("the broker saw a breach of the protocol", "MQTT 服务器报告：违反了协议"),
    0x83: ("the broker has a reason of its own", "MQTT 服务器返回了它自定义的错误"),
    0x84: (
        "the broker does not speak this version of MQTT; see mqtt.protocol",
        "MQTT 服务器不支持此 MQTT 版本；见 mqtt.protocol",
    ),
    0x85: (
        "the broker does not accept this client id; see mqtt.client_id",
        "MQTT 服务器不接受此客户端 id；见 mqtt.client_id",
    ),
    0x86: (
        "the broker does not accept the user name or password; see mqtt.username and mqtt.password_file",
        "MQTT 服务器不接受用户名或密码；见 mqtt.username 和 mqtt.password_file",
    ),
    0x87: (
        "the broker does not allow it: the user lacks the right, or name or password is wrong",
        "MQTT 服务器不允许：用户没有权限，或者用户名、密码不对",
    ),
    0x88: ("the broker is not available", "MQTT 服务器不可用"),
    0x89: ("the broker is busy", "MQTT 服务器繁忙"),
    0x8A: ("the broker has banned this client", "MQTT 服务器封禁了此客户端"),
    0x8B: ("the broker is shutting down", "MQTT 服务器正在关闭"),
    0x8C: ("the broker asks for another kind of authentication", "MQTT 服务器要求另一种认证方式"),
    0x8D: ("the broker heard nothing from us for too long", "MQTT 服务器长时间没有收到桥接程序的数据"),
    0x8E: (
        "the broker gave the session to another client with the same client id; is the bridge running twice?",
        "MQTT 服务器把会话给了使用相同客户端 id 的另一个客户端；是否运行了两个桥接程序？",
    ),
    0x8F: ("the broker does not take this topic filter", "MQTT 服务器不接受此主题过滤器"),
    0x90: ("the broker does not take this topic", "MQTT 服务器不接受此主题"),
    0x91: ("the broker says that the packet id is in use", "MQTT 服务器报告：报文标识符已被占用"),
    0x93: ("the broker got more messages at once than it takes", "同时发给 MQTT 服务器的消息超过它的上限"),
    0x94: ("the broker does not know the topic alias", "MQTT 服务器不认识此主题别名"),
    0x95: ("the broker does not take packets of this size", "MQTT 服务器不接受这么大的报文"),
    0x96: ("the broker gets messages too fast", "发给 MQTT 服务器的消息过快"),
    0x97: ("the broker has reached a quota", "MQTT 服务器已达到配额"),
    0x98: (
        "the broker closed the connection at its administrator's wish",
        "MQTT 服务器按管理员的要求关闭了连接",
    ),
    0x99: (
        "the broker says that the payload does not have its stated format",
        "MQTT 服务器报告：载荷与声明的格式不符",
    ),
    0x9A: ("the broker keeps no retained messages", "MQTT 服务器不支持保留消息"),
    0x9B: (
        "the broker takes only QoS 0, so nothing could be delivered for certain",
        "MQTT 服务器只接受 QoS 0，无法保证送达",
    ),
    0x9C: ("the broker sends us to another server", "MQTT 服务器要求改用另一个服务器"),
    0x9D: ("the broker has moved to another server", "MQTT 服务器已迁移到另一个服务器"),
    0x9E: ("the broker knows no shared subscriptions", "MQTT 服务器不支持共享订阅"),
    0x9F: ("the broker gets connections too often", "与 MQTT 服务器的连接过于频繁"),
    0xA0: ("the broker allows connections of this length only", "连接已达到 MQTT 服务器允许的最长时间"),
    0xA1: ("the broker knows no subscription identifiers", "MQTT 服务器不支持订阅标识符"),
    0xA2: ("the broker knows no wildcard subscriptions", "MQTT 服务器不支持通配符订阅"),
}

BROKER_MESSAGES: Catalogue = {
    "unknown_code": ("the broker answered with code {code}", "MQTT 服务器返回代码 {code}"),
    "with_reason": ("{text} ({reason})", "{text}（{reason}）"),
    "no_name": ("the name {host} cannot be resolved", "无法解析主机名 {host}"),
    "nobody": ("nobody listens on {endpoint}", "没有程序在监听 {endpoint}"),
    "no_answer": ("no answer from {endpoint}", "{endpoint} 没有应答"),
    "no_file": ("cannot read {file}: {why}", "无法读取 {file}：{why}"),
    "no_connection": ("no connection to {endpoint}: {why}", "无法连接 {endpoint}：{why}"),
    "no_tls_port": (
        "no connection to {endpoint}: {why}; it may be no TLS port",
        "无法连接 {endpoint}：{why}；可能不是 TLS 端口",
    ),
    "no_websocket": (
        "{endpoint} answers the request for a WebSocket with HTTP status {status}; see port and path in mqtt.url",
        "{endpoint} 以 HTTP 状态 {status} 回应 WebSocket 请求；请检查 mqtt.url 中的端口和路径",
    ),
    "websocket_without_mqtt": (
        "{endpoint} speaks WebSocket, but not MQTT over it; see port and path in mqtt.url",
        "{endpoint} 支持 WebSocket，但不支持 MQTT over WebSocket；请检查 mqtt.url 中的端口和路径",
    ),
    "websocket_closed": (
        "{endpoint} closed the WebSocket with code {code}",
        "{endpoint} 关闭了 WebSocket，代码 {code}",
    ),
    "bad_websocket": (
        "{endpoint} sent something that is not MQTT over WebSocket; see port and path in mqtt.url",
        "{endpoint} 发来的内容不是 MQTT over WebSocket；请检查 mqtt.url 中的端口和路径",
    ),
    "bad_certificate": (
        "the certificate of {endpoint} is not accepted: {why}; see mqtt.tls.ca_file",
        "{endpoint} 的证书不被接受：{why}；见 mqtt.tls.ca_file",
    ),
    "no_tls": ("no TLS connection to {endpoint}: {why}", "无法与 {endpoint} 建立 TLS 连接：{why}"),
    "silent": ("{endpoint} took the connection and said nothing", "{endpoint} 接受了连接，但没有回应"),
    "no_mqtt": ("{endpoint} sent something that is not MQTT", "{endpoint} 发来的内容不是 MQTT"),
    "lease_ended": (
        "the database does not answer; another instance may have the account",
        "数据库没有应答；该账号可能已由其他实例接管",
    ),
    "closed": ("{endpoint} closed the connection", "{endpoint} 关闭了连接"),
    "answers_no_more": ("{endpoint} does not answer any more", "{endpoint} 不再应答"),
    "broke": ("the connection to {endpoint} broke: {why}", "与 {endpoint} 的连接中断：{why}"),
    "unanswered": ("{text} without an answer", "{text}（没有应答）"),
    "may_want_tls": (
        "{text} without an answer; it may want TLS (mqtts or wss)",
        "{text}（没有应答）；可能需要 TLS（mqtts 或 wss）",
    ),
    "may_want_3_1_1": (
        "{text} without an answer; it may want MQTT 3.1.1 (mqtt.protocol: '3.1.1')",
        "{text}（没有应答）；可能需要 MQTT 3.1.1（mqtt.protocol: '3.1.1'）",
    ),
    "may_want_both": (
        "{text} without an answer; it may want TLS (mqtts or wss) or MQTT 3.1.1 (mqtt.protocol: '3.1.1')",
        "{text}（没有应答）；可能需要 TLS（mqtts 或 wss）或 MQTT 3.1.1（mqtt.protocol: '3.1.1'）",
    ),
    "acknowledges_nothing": ("{endpoint} acknowledges nothing", "{endpoint} 不再确认"),
    "does_not_answer": ("{endpoint} does not answer", "{endpoint} 没有应答"),
}


# Returns a sentence: `broker_text(language, key, **facts)`.
broker_text = partial(text, BROKER_MESSAGES)
