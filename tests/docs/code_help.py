"""Cause and cure of every `code` of a result or of an answer to a request, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.i18n.web import Remedy

CODE_HELP: Mapping[str, Remedy] = {
    "ok": Remedy(("WeChat took the message.", "微信已接收消息。"), ("Nothing is to be done.", "无需处理。")),
    "unconfirmed": Remedy(
        (
            "iLink: WeChat took the message but gave it no number. It is not sent again.",
            "iLink：微信已接收消息，但没有返回编号。不会再次发送。",
        ),
        (
            "Look at the phone. If nothing arrives, set up a `fallback` for urgent alarms.",
            "请查看手机。如果没有收到，请为紧急告警设置 `fallback`。",
        ),
    ),
    "unknown_user": Remedy(
        ("No topic has this name.", "没有这个主题名。"),
        (
            "Use a name from `wx/contacts`, or add one under `contacts`.",
            "请使用 `wx/contacts` 中的名字，或在 `contacts` 中添加。",
        ),
    ),
    "unresolved_user": Remedy(
        (
            "Since the last login it is not certain who this is, or they are no longer a contact.",
            "上次登录后无法确定这是谁，或对方已不是联系人。",
        ),
        (
            "Decide with `request/assign` or `wx2mqtt people assign`.",
            "请用 `request/assign` 或 `wx2mqtt people assign` 指定。",
        ),
    ),
    "bad_command": Remedy(
        (
            "The payload begins with `{` and is no valid command: no JSON, an unknown key or a wrong value.",
            "内容以 `{` 开头，但不是有效命令：不是 JSON、有未知的键或错误的值。",
        ),
        (
            '`message` of the result names the key. To send such a text as it is, use `{"text": "…"}`.',
            '结果里的 `message` 会指出是哪个键。要原样发送这样的文字，请用 `{"text": "…"}`。',
        ),
    ),
    "empty": Remedy(
        ("There is no text and no file to send.", "没有要发送的文字或文件。"),
        ("Publish a text or a file that is not empty.", "请发布非空的文字或文件。"),
    ),
    "too_long": Remedy(
        ("The text is longer than WeChat takes.", "文字超过微信的上限。"),
        ("Send it in several commands, or as a file.", "请分几条命令发送，或作为文件发送。"),
    ),
    "too_large": Remedy(
        ("The payload or the file is larger than allowed.", "内容或文件超过上限。"),
        (
            "Make it smaller; send large files by `path` or `url`.",
            "请缩小；较大的文件请用 `path` 或 `url` 发送。",
        ),
    ),
    "retained": Remedy(
        (
            "The command has the retain flag, and it is not certain that it was published just now. It was cleared at the broker, and not sent.",
            "命令带有保留标志，不能确定是刚发布的，所以没有发送，并已在 MQTT 服务器上清除。",
        ),
        ("Publish it without the retain flag (`-r`).", "请不带保留标志（`-r`）发布。"),
    ),
    "not_allowed": Remedy(
        (
            "`send.allow` does not name this person, or the `path` or `url` is outside of what may be read.",
            "`send.allow` 里没有这个人，或 `path`、`url` 不在允许的范围内。",
        ),
        (
            "Extend `send.allow`, `media.send_from` or `media.allow_hosts`.",
            "请扩展 `send.allow`、`media.send_from` 或 `media.allow_hosts`。",
        ),
    ),
    "unsupported": Remedy(
        (
            "This backend cannot do it, the topic is none for commands, or WeChat does not take this format.",
            "这个后端做不到，或这个主题不能发命令，或微信不接受这种格式。",
        ),
        (
            "`message` says what is possible. Convert the file, or send it as kind `file`.",
            "怎么办看 `message`。请转换格式，或者用 `file` 类型发送。",
        ),
    ),
    "rate_limited": Remedy(
        (
            "WeChat says that this is too often, `send.per_minute` is used up, or (WeCom) the chat got all that it may in a minute or an hour.",
            "微信提示操作过于频繁，或已达到 `send.per_minute`，或（企业微信）该聊天每分钟或每小时的上限已用完。",
        ),
        (
            "Wait for `retry_after` seconds and send less; put several lines into one message.",
            "请等 `retry_after` 秒再发，并少发一些：几行合并成一条消息。",
        ),
    ),
    "window_closed": Remedy(
        (
            "iLink: the person has not written to the bot, or not within 24 hours.",
            "iLink：对方还没给机器人发过消息，或上次发消息已超过 24 小时。",
        ),
        (
            "They write to the bot once. With `hold`, commands wait for that.",
            "请对方给机器人发一条消息。命令带 `hold` 的话会一直等着。",
        ),
    ),
    "quota_used": Remedy(
        (
            "iLink: about ten messages were sent since the person last wrote.",
            "iLink：对方上次发消息之后，已经发了大约十条。",
        ),
        ("They write to the bot once; then ten more go out.", "请对方再给机器人发一条消息，就能再发十条。"),
    ),
    "displaced": Remedy(
        (
            "More than `hold.max` commands waited for this person; this was the oldest of the least important.",
            "等着发给对方的命令超过 `hold.max`；这条优先级最低，又是其中最旧的。",
        ),
        (
            "Send less, give a `priority`, or raise `hold.max`.",
            "请少发一些，设置 `priority`，或调大 `hold.max`。",
        ),
    ),
    "logged_out": Remedy(
        ("Nobody is logged in to WeChat.", "微信未登录。"),
        (
            "Scan the code; `request/login` asks for a new one.",
            "请扫描二维码；`request/login` 可获取新的二维码。",
        ),
    ),
    "other_account": Remedy(
        (
            "Another WeChat account became the owner while the command waited.",
            "命令还在等待，主人就换成了另一个微信账号。",
        ),
        ("Publish the command again if it is still wanted.", "如仍需要，请重新发布命令。"),
    ),
    "expired": Remedy(
        ("It could not be sent within its `ttl`.", "过了 `ttl` 还没发出去。"),
        ("`message` says what kept it. Give a longer `ttl`.", "原因在 `message` 里。请把 `ttl` 设长一些。"),
    ),
    "refused_by_wechat": Remedy(
        ("WeChat refused it for good.", "微信明确拒绝。"),
        (
            "Try it on the phone: are you still friends, is the group there, is the account restricted?",
            "请在手机上试一试：是否仍是好友，群是否还在，账号是否受限？",
        ),
    ),
    "no_answer": Remedy(
        (
            "It was sent, perhaps twice, and WeChat never answered; or it is from a backup, and may have been sent since.",
            "已发送（可能两次），但微信没有回应；或者来自备份，备份之后可能已发送。",
        ),
        (
            "Look at the phone. `wx2mqtt journal retry` sends it again.",
            "请查看手机。`wx2mqtt journal retry` 可再次发送。",
        ),
    ),
    "id_reused": Remedy(
        ("This `id` was used for another command within 7 days.", "这个 `id` 在 7 天内已用于另一条命令。"),
        ("Give each command an `id` of its own.", "请为每条命令使用不同的 `id`。"),
    ),
    "bad_response_topic": Remedy(
        (
            "The response topic has wildcards, does not match `mqtt.response_topics`, or is one of the bridge's.",
            "响应主题含通配符、不符合 `mqtt.response_topics`，或属于桥接程序自己的主题。",
        ),
        (
            "The command was carried out; its result is on `wx/result/<user>`. Use a response topic of your own choice outside of the bridge's topics, such as `reply/me`.",
            "命令已执行，结果在 `wx/result/<user>`。响应主题由你自己取名，请放在桥接程序的主题之外，例如 `reply/me`。",
        ),
    ),
    "storage_full": Remedy(
        ("The store has no room for this command.", "存储空间不足。"),
        (
            "Raise `storage.max_size`, or lower `media.keep` and `history.keep`.",
            "请调大 `storage.max_size`，或减小 `media.keep` 和 `history.keep`。",
        ),
    ),
    "dropped": Remedy(
        ("Somebody cancelled it with `wx2mqtt journal drop`.", "有人用 `wx2mqtt journal drop` 取消了它。"),
        ("Publish it again if it is still wanted.", "如仍需要，请重新发布。"),
    ),
    "internal": Remedy(
        ("A fault of the bridge itself.", "桥接程序自身出错。"),
        ("The log says why. Please report it.", "原因见日志。请反馈。"),
    ),
    "bad_file": Remedy(
        (
            "The file is not there, cannot be read, is damaged, or has a name that is not allowed.",
            "文件不存在、读不了、已损坏，或文件名不合规。",
        ),
        ("`message` names the file and the reason.", "`message` 会指出文件和原因。"),
    ),
    "fetch_failed": Remedy(
        (
            "The file at `url` could not be fetched within the `ttl`.",
            "过了 `ttl` 还没下载到 `url` 的文件。",
        ),
        (
            "Open the address on the bridge's machine; check name, certificate and server.",
            "请在桥接程序所在的机器上打开这个网址试试，检查域名、证书和服务器。",
        ),
    ),
    "unknown_message": Remedy(
        ("A recall names a message that is not yours in that chat.", "要撤回的消息不是你在这个聊天里发的。"),
        ("Use `message_id` of the result.", "请使用结果中的 `message_id`。"),
    ),
    "too_late": Remedy(
        ("A message can be recalled for two minutes only.", "消息只能在两分钟内撤回。"),
        ("Recall it on the phone, if the phone still allows it.", "如果手机仍允许，请在手机上撤回。"),
    ),
    "no_chat": Remedy(
        (
            "WeCom: the bot may not write to this person or group: nobody has written to it there, or it is no member.",
            "企业微信：机器人不能给这个人或这个群发消息：对方还没给它发过消息，或它不在群里。",
        ),
        (
            "The person writes to the bot once; a group gets the bot as a member. An `urgent` command goes to its fallback at once.",
            "请对方先给机器人发一条消息；群要先把机器人拉进去。`urgent` 的命令马上走备用通道。",
        ),
    ),
    "unknown_request": Remedy(
        ("No request has this name.", "没有这个名称的请求。"),
        ("`error` lists those that exist.", "`error` 会列出可用的请求。"),
    ),
    "bad_request": Remedy(
        (
            "The request is no JSON object, has an unknown key or a wrong value.",
            "请求不是 JSON 对象、有未知的键或错误的值。",
        ),
        ("`error` names the key.", "`error` 会指出是哪个键。"),
    ),
    "stream_changed": Remedy(
        ("The store is another one, whose numbers begin anew.", "存储已更换，编号重新开始。"),
        (
            "Ask without `since`, and remember the new `stream`.",
            "请不带 `since` 重新请求，并记住新的 `stream`。",
        ),
    ),
    "unknown_id": Remedy(
        ("Nothing has this id.", "没有这个 id。"),
        ("Use an id from a message, an event or a result.", "请使用消息、事件或结果中的 id。"),
    ),
    "gone": Remedy(
        (
            "WeChat does not have it any more, or it made room in the store.",
            "微信上已经没有了，或者本地为腾出空间已经清理。",
        ),
        ("Raise `media.keep`, and fetch media sooner.", "请调大 `media.keep`，并尽早获取媒体。"),
    ),
    "not_ready": Remedy(
        ("The bytes are not there yet.", "内容尚未取得。"),
        ("Wait for `event/media`, or ask again.", "请等待 `event/media`，或再次请求。"),
    ),
}
"""By code, in the order in which they are documented: first those of results, then those of answers alone."""
