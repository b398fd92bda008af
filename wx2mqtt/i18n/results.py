"""Sentences of results and events: why a command was not sent, and what became of its file."""

from __future__ import annotations

from wx2mqtt.i18n import Catalogue

RESULT_MESSAGES: Catalogue = {
    # results
    "ok": ("WeChat took the message", "微信已接收消息"),
    "unconfirmed": ("WeChat took the message but gave it no number", "微信已接收消息，但没有返回编号"),
    "unknown_user": (
        "nobody is called '{user}'; the names are in {contacts}",
        "没有名为“{user}”的联系人；名单见 {contacts}",
    ),
    "unresolved_user": (
        "since the last login it is not certain who '{user}' is; decide with request/assign",
        "上次登录后无法确定“{user}”是谁；请用 request/assign 指定",
    ),
    "removed_user": ("'{user}' is no longer a contact", "“{user}”已不是联系人"),
    "retained": (
        "it has the retain flag and may be an old command; it was cleared, publish without the retain flag",
        "它带有 retain 标志，可能是旧命令；已清除，请不带 retain 标志重新发布",
    ),
    "not_allowed": ("send.allow does not name '{user}'", "send.allow 中没有“{user}”"),
    "unsupported_kind": ("this backend cannot send '{kind}' yet", "此后端还不能发送“{kind}”"),
    "unsupported_topic": (
        "there is no such topic; there are {known} (text and commands in JSON go to the first)",
        "没有这个主题；可用的有 {known}（文字和 JSON 命令发到第一个）",
    ),
    "too_long": (
        "the text has {size} bytes; WeChat takes {limit}; send it in parts",
        "文字有 {size} 字节，微信最多 {limit}；请分段发送",
    ),
    "too_large": ("the payload has {size} bytes, more than {limit}", "内容有 {size} 字节，超过 {limit}"),
    "storage_full": (
        "the store is full ({limit}); raise storage.max_size or free space",
        "存储已满（{limit}）；请调大 storage.max_size 或清理空间",
    ),
    "id_reused": (
        "this id was used for another command; choose a new one",
        "这个 id 已用于另一条命令；请换一个",
    ),
    "bad_response_topic": (
        "the response topic must be concrete, match mqtt.response_topics and lie outside the bridge's own topics",
        "响应主题不能含通配符，要符合 mqtt.response_topics，也不能是桥接程序自己的主题",
    ),
    "remark_parts": ("it went out as {parts} messages", "分成 {parts} 条消息发出"),
    "remark_parts_in_window": (
        "it went out as {parts} messages, each of which counts in the window; as a file it is one",
        "分成 {parts} 条消息发出，每条都计入窗口；以文件发送只算一条",
    ),
    "remark_caption": ("caption and file went out as {parts} messages", "配文和文件共 {parts} 条消息"),
    "remark_caption_in_window": (
        "caption and file went out as {parts} messages, each of which counts in the window",
        "配文和文件共 {parts} 条消息，每条都计入窗口",
    ),
    "remark_caption_lost": (
        "the file went out, its caption perhaps not: WeChat refused it or did not answer",
        "文件已发出，配文可能没有：微信拒绝了它，或者没有应答",
    ),
    "remark_retained": (
        "the copy that the broker kept was cleared: publish without the retain flag",
        "MQTT 服务器保留的副本已清除：请不带 retain 标志发布",
    ),
    "remark_bad_response_topic": (
        "the result comes on this topic only: the response topic must be concrete, match mqtt.response_topics and lie outside the bridge's own topics",
        "结果只发布在这个主题上：响应主题不能含通配符，要符合 mqtt.response_topics，也不能是桥接程序自己的主题",
    ),
    "limit_of_command": ("its time ({seconds} s)", "时限（{seconds} 秒）"),
    "limit_of_fallback": ("fallback.after ({seconds} s)", " fallback.after（{seconds} 秒）"),
    "expired": ("not sent within {limit}", "未能在{limit}内发送"),
    "expired_delivery": ("it had expired before it came", "到达时已过期"),
    "expired_logged_out": (
        "not sent within {limit}: WeChat is not logged in",
        "未能在{limit}内发送：微信未登录",
    ),
    "expired_rate_limited": (
        "not sent within {limit}: WeChat says this is too often",
        "未能在{limit}内发送：微信提示操作过于频繁",
    ),
    "expired_chat_limit": (
        "not sent within {limit}: WeChat takes no more messages to this chat in a minute and an hour",
        "未能在{limit}内发送：发往该聊天的消息已达到微信每分钟或每小时的上限",
    ),
    "expired_shut": (
        "not sent within {limit}: {why}",
        "未能在{limit}内发送：{why}",
    ),
    "shut_never_wrote": (
        "WeChat takes no message before '{user}' has written to the bot: write to it once in WeChat",
        "“{user}”还没给机器人发过消息，微信不接收发给对方的消息：请在微信里给机器人发一句话",
    ),
    "shut_new_binding": (
        "WeChat takes no message before '{user}' has written to the bot of this login: write to it once in WeChat",
        "“{user}”还没给本次登录的机器人发过消息，微信不接收发给对方的消息：请在微信里给它发一句话",
    ),
    "shut_too_long_ago": (
        "WeChat takes messages only within 24 hours after '{user}' wrote: write to the bot in WeChat again",
        "“{user}”上次发消息已超过 24 小时，微信不再接收发给对方的消息：请在微信里再给机器人发一句话",
    ),
    "shut_quota_used": (
        "WeChat takes about ten messages for each one that '{user}' writes, and they are used up: write to the bot in WeChat again",
        "“{user}”每发来一条消息，微信大约只接受十条，现已用完：请在微信里再给机器人发一句话",
    ),
    "shut_too_few_left": (
        "WeChat takes fewer messages to '{user}' than caption and file need: write to the bot in WeChat again",
        "微信现在能发给“{user}”的条数，不够发配文和文件：请在微信里再给机器人发一句话",
    ),
    "shut_reserved": (
        "the messages that WeChat still takes for '{user}' are kept for what is urgent (ilink.reserve): write to the bot in WeChat again",
        "发给“{user}”的剩余条数要留给紧急内容（ilink.reserve）：请在微信里再给机器人发一句话",
    ),
    "shut_rate_limited": (
        "WeChat says that this was too often; it wants a pause before the next message to '{user}'",
        "微信提示操作过于频繁；再次发给“{user}”之前需要暂停",
    ),
    "displaced": (
        "it gave way to what is more important or newer: hold.max ({most}) commands wait for this person",
        "等待发给此人的命令已达 hold.max（{most}），它被更重要或更新的命令取代",
    ),
    "hint_never_wrote": (
        "'{user}' must write to the bot in WeChat once; then it is sent",
        "请“{user}”在微信里给机器人发一条消息，发来后就会发送",
    ),
    "hint_new_binding": (
        "this login has a new bot: '{user}' must write to it in WeChat once; then it is sent",
        "这次登录换了新的机器人：请“{user}”在微信里给它发一条消息，发来后就会发送",
    ),
    "hint_too_long_ago": (
        "'{user}' wrote more than 24 hours ago: they must write to the bot in WeChat again; then it is sent",
        "“{user}”上次发消息已超过 24 小时：请再给机器人发一条，发来后就会发送",
    ),
    "hint_quota_used": (
        "WeChat takes no more until '{user}' writes to the bot again; then it is sent",
        "“{user}”要再给机器人发一条消息，微信才会接收；发来后就会发送",
    ),
    "hint_too_few_left": (
        "'{user}' must write a message; then caption and file are sent",
        "请“{user}”先发一条消息，发来后就会发送配文和文件",
    ),
    "hint_reserved": (
        "the last messages are kept for what is urgent until '{user}' writes to the bot again; then it is sent",
        "最后几条要留给紧急内容；“{user}”再给机器人发一条消息，就会发送",
    ),
    "hint_rate_limited": (
        "nothing is to be done: WeChat wants a pause, and then it is sent to '{user}'",
        "不用做什么：微信要求歇一会儿，稍后就会发给“{user}”",
    ),
    "digest_heading": ("{count} messages were waiting:", "积压了 {count} 条消息："),
    "fallback_sent": ("it went by the other way (fallback)", "已通过备用通道（fallback）发出"),
    "fallback_failed": (
        "the other way (fallback) failed as well; the log says why",
        "备用通道（fallback）也失败了；原因见日志",
    ),
    "fallback_uncertain": (
        "it went by the other way (fallback), and whether it arrived, once or twice, is not known",
        "已尝试备用通道（fallback），但不确定是否送达，也可能送达两次",
    ),
    # It took the message, or was the last that may have: a service can have taken the message after it.
    "fallback_account": ("the other account was {account}", "另一个账号是 {account}"),
    "fallback_too_late": (
        "it was to go at once, for another account, and could not",
        "这是替另一个账号发的，必须马上发出，但没能发出",
    ),
    "fallback_summarized": (
        "it was one of {count} urgent commands in one summary",
        "它和其他紧急命令合成了一份摘要，共 {count} 条",
    ),
    "fallback_summary_title": (
        "wx2mqtt {account}: {count} urgent messages",
        "wx2mqtt {account}：{count} 条紧急消息",
    ),
    "fallback_summary_rest": ("… and {count} more", "……另有 {count} 条"),
    "fallback_title": ("wx2mqtt {account}: to {user}", "wx2mqtt {account}：发给 {user}"),
    "expired_own_limit": (
        "not sent within {limit}: send.per_minute lets no more through",
        "未能在{limit}内发送：已达到 send.per_minute 的上限",
    ),
    "uncertain": (
        "it was sent, perhaps twice, and WeChat never answered",
        "已发送（可能两次），但微信没有回应",
    ),
    "uncertain_restored": (
        "it is from a backup, and the bridge that ran on after that may have sent it",
        "来自备份：备份后继续运行的桥接程序可能已发送",
    ),
    "internal": ("the bridge could not do it; the log says why", "桥接程序出错；原因见日志"),
    "dropped": ("dropped by hand", "已手动取消"),
    # commands that cannot be read
    "not_utf8": ("the payload is not valid UTF-8", "内容不是有效的 UTF-8"),
    "utf16": (
        "the payload is UTF-16; publish it as UTF-8",
        "内容是 UTF-16；请以 UTF-8 发布",
    ),
    "bytes_on_text_topic": (
        "these are bytes ({mime}), and this topic takes text: publish them on {topic}",
        "这是文件内容（{mime}），而此主题接收文字：请发布到 {topic}",
    ),
    "base64_as_bytes": (
        'this is base64, and this topic takes the bytes themselves: publish those, or send {{"kind": "{kind}", "data": "…"}} to {topic}',
        '这是 base64，而此主题接收原始内容：请发布原始内容，或向 {topic} 发送 {{"kind": "{kind}", "data": "…"}}',
    ),
    "command_as_bytes": (
        "this is JSON, and this topic takes the bytes of the file: publish a command on {topic}",
        "这是 JSON，而此主题接收文件内容：命令请发布到 {topic}",
    ),
    "bad_json": (
        'it begins with {{ and is no JSON object ({problem}); as text send it as {{"text": "…"}} or text/plain',
        '以 {{ 开头，但不是 JSON 对象（{problem}）；要作为文字发送请用 {{"text": "…"}} 或 text/plain',
    ),
    # commands over HTTP
    "bad_body_json": (
        "the body is no JSON object ({problem}); a text is sent with Content-Type: text/plain",
        "请求内容不是 JSON 对象（{problem}）；发送文字请用 Content-Type: text/plain",
    ),
    "form_is_no_text": (
        "a urlencoded form is no text: send it with -H 'Content-Type: text/plain', as curl does with --json '{{\"text\": \"…\"}}' or --form-string text=…",
        "urlencoded 表单不是文字：请加上 -H 'Content-Type: text/plain'；curl 也可用 --json '{{\"text\": \"…\"}}' 或 --form-string text=…",
    ),
    "type_needs_name": (
        "this is {mime}: a file needs its name, as in ?name=plan.pdf; a text is sent with Content-Type: text/plain",
        "内容类型为 {mime}：文件需要名字，例如 ?name=plan.pdf；发送文字请用 Content-Type: text/plain",
    ),
    "bytes_as_text": (
        "the body is not valid UTF-8, so it is no text; a picture is sent with Content-Type: image/jpeg, a file with ?name=plan.pdf",
        "请求内容不是有效的 UTF-8，不是文字；图片请用 Content-Type: image/jpeg，文件请加 ?name=plan.pdf",
    ),
    "unknown_query_key": (
        "'{key}' is unknown in the query of this body; known are {known}",
        "地址中的“{key}”不适用于此内容；可用的有 {known}",
    ),
    "query_beside_command": (
        "'{key}' belongs into the body here; in the query only {known} is known",
        "“{key}”在这里应写在内容里；地址中只能用 {known}",
    ),
    "upload_and_source": (
        "'{key}' does not go with a file in the request; take it away",
        "请求中已有文件，不能再写“{key}”；请去掉",
    ),
    "bad_multipart": (
        "the form is not multipart/form-data as its boundary says; let the client write both, as curl -F does",
        "表单与其 boundary 不符，不是有效的 multipart/form-data；请让客户端自动生成，例如 curl -F",
    ),
    "one_file": ("a form may have one file; send each file by itself", "表单只能有一个文件；请逐个发送"),
    "body_over_limit": (
        "the body may have at most {limit} bytes; a longer text is sent as a file, with ?name=log.txt",
        "内容最多 {limit} 字节；更长的文字请作为文件发送，加上 ?name=log.txt",
    ),
    "body_too_slow": (
        "the body came too slowly or broke off; send it again",
        "内容传输过慢或中断；请重新发送",
    ),
    "bodies_in_memory": (
        "too many large requests at a time; send it again in a few seconds",
        "同时有太多大请求；请几秒后重试",
    ),
    "two_ids": (
        "Idempotency-Key and the id of the command differ; give one of them",
        "Idempotency-Key 与命令的 id 不同；请只写一个",
    ),
    "too_many_form_fields": (
        "a form may have at most {limit} fields",
        "表单最多 {limit} 个字段",
    ),
    "no_text_no_kind": (
        'the JSON object has neither text nor kind; to send JSON use {{"text": "…"}} or content type text/plain',
        'JSON 对象没有 text 也没有 kind；要把 JSON 作为文字发送请用 {{"text": "…"}} 或内容类型 text/plain',
    ),
    "unknown_key": ("unknown key '{key}'; known are {known}", "未知的键“{key}”；可用的有 {known}"),
    "bad_value": ("'{key}' must be {expected}", "“{key}”必须是{expected}"),
    "bad_integer": (
        "'{key}' must be a whole number, {minimum} or more",
        "“{key}”必须是不小于 {minimum} 的整数",
    ),
    "unknown_kind": ("kind '{kind}' is unknown; known are {known}", "未知的类型“{kind}”；可用的有 {known}"),
    "empty": ("there is no text to send", "没有要发送的文字"),
    "differs_from_topic": (
        "'{key}' differs from the topic, which says {value}; leave it out, or publish on out/<user>",
        "“{key}”与主题不一致，主题里是 {value}；请去掉它，或发布到 out/<user>",
    ),
    "value_too_long": ("'{key}' may have at most {limit} characters", "“{key}”最多 {limit} 个字符"),
    "too_many_values": ("'{key}' may have at most {limit} values", "“{key}”最多 {limit} 项"),
    "transaction_too_large": (
        "'transaction' may have at most {limit} bytes",
        "“transaction”最多 {limit} 字节",
    ),
    "a text": ("a text", "文字"),
    "a topic level": ("a name as in contacts, without / + #", "contacts 中的名字，不含 / + #"),
    "a number of seconds above 0": ("a number of seconds above 0", "大于 0 的秒数"),
    "1 to 128 characters": ("a text of 1 to 128 characters, or a number", "1 到 128 个字符的文字，或数字"),
    "true or false": ("true or false", "true 或 false"),
    "a list of names": ("a list of names", "名字列表"),
    "a log level": ("debug, info, warning or error", "debug、info、warning 或 error"),
    "a group action": ("members, create, add, remove or rename", "members、create、add、remove 或 rename"),
    "one line of at most 100 characters": (
        "one line of at most 100 characters",
        "不超过 100 个字符的一行文字",
    ),
    "high, normal or low": ("high, normal or low", "high、normal 或 low"),
    "trusted or anyone": ("trusted or anyone", "trusted 或 anyone"),
    # questions
    "answered": (
        "the question was answered, so WeChat has delivered it",
        "提问已得到回答，说明微信已送达",
    ),
    "buttons_with_kind": (
        "'{key}' goes with a text, not with kind '{kind}'; ask in a command of its own",
        "“{key}”只能与文字一起使用，不能用于类型“{kind}”；提问请另发一条命令",
    ),
    "no_buttons": ("'{key}' needs 'buttons'", "使用“{key}”时必须有“buttons”"),
    "bad_buttons": (
        "'buttons' must be a list of 1 to {most}, each a text or an object with text and key",
        "“buttons”必须是 1 到 {most} 项的列表，每项是文字，或含 text 和 key 的对象",
    ),
    "bad_button": (
        "button {number} must be a text, or an object with text and perhaps key",
        "第 {number} 个按钮必须是文字，或含 text（可有 key）的对象",
    ),
    "bad_button_text": (
        "the text of button {number} must have 1 to {most} characters, no line break or control character, and not only digits",
        "第 {number} 个按钮的文字必须为 1 到 {most} 个字符，不含换行和控制字符，且不能全是数字",
    ),
    "bad_button_key": (
        "the key of button {number} must be a text of 1 to {most} characters",
        "第 {number} 个按钮的 key 必须是 1 到 {most} 个字符的文字",
    ),
    "buttons_alike": (
        "buttons {first} and {second} have the same {name}, apart from case and width",
        "第 {first} 个和第 {second} 个按钮的 {name} 相同（不计大小写和全角半角）",
    ),
    "no_open_question": (
        "no question with the command id '{id}' is open; request/questions lists those that are",
        "没有命令 id 为“{id}”、还没结束的提问；request/questions 列出所有没结束的提问",
    ),
    "an object": ("an object", "一个对象"),
    # imitated services
    "robot_type": (
        "msgtype '{kind}' cannot be sent; send one of {known}",
        "无法发送 msgtype “{kind}”；请使用 {known}",
    ),
    "robot_checksum": (
        "'md5' is not that of the picture in 'base64'; compute it of the bytes before they are encoded",
        "“md5”与“base64”中的图片不符；请用编码之前的字节计算",
    ),
    "no_alerts": (
        "there is no list 'alerts' of at least one object; is this a webhook of Alertmanager or Grafana?",
        "列表“alerts”不存在或是空的；这是 Alertmanager 或 Grafana 的 webhook 吗？",
    ),
    "ntfy_delay": (
        "a message cannot be sent later; send it when it is due",
        "无法延迟发送；请在需要时再发送",
    ),
    "ntfy_priority": (
        "priority '{priority}' is unknown; known are {known}",
        "未知的优先级“{priority}”；可用的有 {known}",
    ),
    # files to send
    "text_with_file": (
        "'{key}' goes with kind image, video or file; add 'kind', and the text is the caption",
        "“{key}”需要 kind 为 image、video 或 file；请加上“kind”，文字就是配文",
    ),
    "text_and_kind": (
        "kind '{kind}' takes no text; send the text as a command of its own",
        "类型“{kind}”不能带文字；文字请另发一条命令",
    ),
    "format_without_text": (
        "'format' is that of a text, and there is none; leave it out",
        "“format”是文字的格式，而这里没有文字；请去掉",
    ),
    "text or markdown": ("text or markdown", "text 或 markdown"),
    "unsupported_format": (
        "this backend shows no markdown; leave out 'format', and the text arrives as it is written",
        "此后端不能显示 markdown；请去掉“format”，文字会原样送达",
    ),
    "caption_too_long": (
        "caption and file are {parts} messages, and WeChat takes {limit} of such a command; shorten the caption",
        "配文和文件共 {parts} 条消息，而微信对这样的命令最多接受 {limit} 条；请缩短配文",
    ),
    "mention_without_text": (
        "only a text can mention people; send one with 'mention' as a command of its own",
        "只有文字消息能 @ 别人；请另发一条带“mention”的文字命令",
    ),
    "mention_no_group": (
        "'mention' is for groups, and '{user}' is none; leave it out",
        "“mention”只用于群聊，而“{user}”不是群；请去掉",
    ),
    "mention_nobody": (
        "nobody called '{name}' is in '{user}'; request/group lists the names of its members",
        "“{user}”中没有名为“{name}”的成员；可用 request/group 查看成员名字",
    ),
    "mention_several": (
        "several members of '{user}' are called '{name}'; use a topic name from request/group",
        "“{user}”中有多名成员叫“{name}”；请用 request/group 中的主题名",
    ),
    "one_source": (
        "kind '{kind}' needs exactly one of path, url and data",
        "类型“{kind}”需要 path、url、data 中的一个，且只能有一个",
    ),
    "the id of a message": (
        "the message_id of a result, or the id of an own message",
        "结果中的 message_id，或自己消息的 id",
    ),
    "no_bytes": ("there are no bytes to send; the file is empty", "没有内容可发送；文件是空的"),
    "bad_base64": (
        "'data' is no whole base64; encode the file with the standard alphabet and its = at the end",
        "“data”不是完整的 base64；请用标准字母表编码，并保留结尾的 =",
    ),
    "bad_name": (
        "a file name holds no / or \\, no control or direction marks, and is not . or ..; give a plain one",
        "文件名不能含 / 或 \\、控制字符或方向标记，也不能是 . 或 ..；请换一个普通的名字",
    ),
    "name_too_long": (
        "the file name has more than {limit} bytes; give a shorter one",
        "文件名超过 {limit} 字节；请缩短",
    ),
    "unsupported_sort": (
        "WeChat takes no {mime} as {kind}, only {known}; convert it, or send it as kind file",
        "微信不接受把 {mime} 作为 {kind} 发送，只接受 {known}；请转换，或以 file 类型发送",
    ),
    "not_that_kind": (
        "this is no {kind} but {mime}; WeChat takes {known} as {kind}; send anything else as kind file",
        "这不是 {kind}，而是 {mime}；{kind} 只能是 {known}；其他内容请以 file 类型发送",
    ),
    "unreadable_picture": (
        "the width and height of this {mime} cannot be read, the file may be damaged; send it anew, or as kind file",
        "读不出此 {mime} 的宽和高，文件可能已损坏；请换一份，或以 file 类型发送",
    ),
    "file_too_large": (
        "it is larger than the {limit} bytes that WeChat takes as {kind}; make it smaller",
        "超过微信对 {kind} 的上限 {limit} 字节；请缩小",
    ),
    "file_too_small": (
        "the file has {size} bytes, and WeChat takes none with fewer than {limit}; send what is in it as a text",
        "文件只有 {size} 字节，而微信不接受小于 {limit} 字节的文件；请把内容作为文字发送",
    ),
    "file_too_slow": (
        "the file could not be read in time; look after the disk it is on",
        "未能及时读完文件；请检查它所在的磁盘",
    ),
    "file_lost": (
        "the file that was to be sent is no longer in the store; send it again",
        "要发送的文件已不在存储中；请重新发送",
    ),
    "no_room_for_file": (
        "the store has no room for this file; raise storage.max_size or free space",
        "存储空间不足以放下此文件；请调大 storage.max_size 或清理空间",
    ),
    # recall
    "unknown_message": (
        "no own message in '{user}' has the id '{message_id}'; take the message_id of its result",
        "“{user}”中没有 id 为“{message_id}”的自己的消息；请使用其结果中的 message_id",
    ),
    "unknown_message_anywhere": (
        "no own message has the id '{message_id}'; take the message_id of its result",
        "没有 id 为“{message_id}”的自己的消息；请使用其结果中的 message_id",
    ),
    "too_late": (
        "WeChat lets a message be withdrawn within {within} seconds; this one is {age} seconds old",
        "微信只允许在 {within} 秒内撤回；此消息已过 {age} 秒",
    ),
    "recalled": ("WeChat withdrew the message", "微信已撤回该消息"),
    "expired_fetch": (
        "not fetched within {limit}: {why}",
        "未能在{limit}内取得文件：{why}",
    ),
    "path_no_folder": (
        "no file may be sent by path; name a folder in media.send_from",
        "不允许按路径发送文件；请在 media.send_from 中写明文件夹",
    ),
    "path_relative": (
        "'path' must be the absolute path of a file, beginning with /",
        "“path”必须是以 / 开头的绝对路径",
    ),
    "path_outside": (
        "{path} is outside of the folders of media.send_from (links are followed); add its folder there",
        "{path} 不在 media.send_from 的文件夹之内（符号链接会被解析）；请在那里加上它的文件夹",
    ),
    "path_missing": ("there is no file {path}; correct the path", "文件 {path} 不存在；请更正路径"),
    "path_folder": ("{path} is a folder; name a file in it", "{path} 是文件夹；请写明其中的文件"),
    "path_pipe": (
        "{path} is a pipe; only regular files can be sent",
        "{path} 是管道；只能发送普通文件",
    ),
    "path_socket": (
        "{path} is a socket; only regular files can be sent",
        "{path} 是套接字；只能发送普通文件",
    ),
    "path_device": (
        "{path} is a device; only regular files can be sent",
        "{path} 是设备；只能发送普通文件",
    ),
    "path_forbidden": (
        "the bridge may not read {path}; change its owner or mode",
        "桥接程序无权读取 {path}；请更改其所有者或权限",
    ),
    "path_changed": (
        "{path} changed while it was opened; send it again",
        "{path} 在打开时发生了变化；请重新发送",
    ),
    "path_unreadable": (
        "{path} cannot be read ({problem}); correct the path, or mend the disk",
        "无法读取 {path}（{problem}）；请更正路径或检查磁盘",
    ),
    "fetch_bad_url": (
        "'url' must be an http or https address, such as https://host/picture.jpg",
        "“url”必须是 http 或 https 地址，例如 https://host/picture.jpg",
    ),
    "fetch_bad_host": (
        "the host in 'url' is no name: behind 'xn--' stands no valid Punycode; correct it",
        "“url”中的主机名无效：“xn--”之后不是有效的 Punycode；请更正",
    ),
    "fetch_bad_redirect": (
        "{host} sends us on to what is no http or https address; give the address where the file is",
        "{host} 跳转到的不是 http 或 https 地址；请给出文件所在的地址",
    ),
    "fetch_hops": (
        "more than {most} redirects; give the address where the file is",
        "重定向超过 {most} 次；请给出文件所在的地址",
    ),
    "fetch_private_address": (
        "{address} is an address in the house or for special use; to allow it name it in media.allow_hosts",
        "{address} 是内部或特殊地址；如要允许，请把它写入 media.allow_hosts",
    ),
    "fetch_private": (
        "{host} is {address}, in the house or for special use; to allow it name the host in media.allow_hosts",
        "{host} 是 {address}，属于内部或特殊地址；如要允许，请把该主机写入 media.allow_hosts",
    ),
    "fetch_no_name": (
        "nobody knows the name {host}; correct it, or mend the name service",
        "无法解析主机名 {host}；请更正，或检查域名服务",
    ),
    "fetch_no_connection": (
        "{host} takes no connection; check the address, and that it is up",
        "无法连接 {host}；请检查地址以及它是否在运行",
    ),
    "fetch_certificate": (
        "{host} has no certificate that is trusted; mend it, or use http in the house",
        "{host} 的证书不受信任；请修正证书，或在内网使用 http",
    ),
    "fetch_no_answer": (
        "{host} took the connection and gave no HTTP answer; check the address",
        "{host} 接受了连接，但没有 HTTP 应答；请检查地址",
    ),
    "fetch_too_slow": (
        "it came too slowly and was given up; use a faster server, or send the bytes",
        "下载过慢，已放弃；请换更快的服务器，或直接发送内容",
    ),
    "fetch_cut_off": (
        "the answer ended before it was complete; mend the server, or send the bytes",
        "应答不完整就结束了；请检查服务器，或直接发送内容",
    ),
    "fetch_status": (
        "the server answered {status} instead of the file; check the address in a browser",
        "服务器应答 {status}，而不是文件；请用浏览器检查地址",
    ),
    "fetch_packed": (
        "the server sends it compressed although nobody asked for that; give another address",
        "没有要求压缩，服务器却压缩了内容；请换一个地址",
    ),
    # bytes of messages
    "media_expired": (
        "its address has expired, and the file could not be fetched before: {why}",
        "它的地址已失效，在此之前未能获取文件：{why}",
    ),
    "media_nothing": (
        "WeChat has no bytes of it; stickers of its shop, for one, are not handed over",
        "微信没有提供内容，例如商店里的表情就拿不到",
    ),
    "media_too_large": (
        "it has more than media.max_size ({limit}); raise that for what comes later",
        "超过 media.max_size（{limit}）；调大后对之后的内容生效",
    ),
    "media_refused": ("WeChat refused to hand it over: {why}", "微信拒绝提供：{why}"),
    "media_failed": ("it could not be fetched within a day: {why}", "一天之内未能获取：{why}"),
    "too_many_files": (
        "{most} files wait already to be fetched for this chat; send it later",
        "该聊天已有 {most} 个文件等待下载；请稍后再发",
    ),
    "upload_slow": ("the upload takes too long", "上传耗时过长"),
    "media_slow": ("the bytes came too slowly", "下载过慢"),
    "media_silent": ("no byte came for {limit} s", "{limit} 秒内没有收到任何数据"),
    "media_wrong": (
        "{size} bytes of an unexpected format came instead of the {announced} that were announced",
        "收到 {size} 字节、格式也不对的内容，而微信事先说的是 {announced} 字节",
    ),
    "media_which": (
        "name one of message_id, id (of media) and avatar, and no more",
        "请只写 message_id、id（媒体编号）、avatar 其中一个",
    ),
    "media_unknown": (
        "nothing is known of bytes of '{id}'; message_id is the id of a message, id is a media_id",
        "没有“{id}”的内容；message_id 是消息的 id，id 是 media_id",
    ),
    "media_not_ready": (
        "the bytes are not there yet; event/media tells when they are, or ask again",
        "内容尚未取得；取得后会有 event/media，也可稍后再请求",
    ),
    "media_not_to_be_had": ("there are no bytes: {why}", "没有内容：{why}"),
    "media_nobody": ("nobody is called '{user}'", "没有名为“{user}”的联系人"),
    "no_avatar": ("WeChat shows no picture of '{user}'", "微信没有“{user}”的头像"),
    "media_not_inline": (
        "the file has {size} bytes and an answer takes {limit}; fetch it from {where}",
        "文件有 {size} 字节，应答里最多放 {limit}；请从 {where} 获取",
    ),
}
