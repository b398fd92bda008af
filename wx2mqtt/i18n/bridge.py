"""Sentences of the bridge: answers to requests, login states, what the commands print, and those of results."""

from __future__ import annotations

from functools import partial

from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n import Catalogue, Language, text
from wx2mqtt.i18n.owner import OWNER_MESSAGES
from wx2mqtt.i18n.results import RESULT_MESSAGES
from wx2mqtt.limits import MAX_FACT_CHARACTERS

BRIDGE_MESSAGES: Catalogue = {
    **RESULT_MESSAGES,
    **OWNER_MESSAGES,
    # requests
    "bad_request": ("the request is no JSON object ({problem})", "请求不是 JSON 对象（{problem}）"),
    "unknown_request": (
        "unknown request '{name}'; known are {known}",
        "未知的请求“{name}”；可用的有 {known}",
    ),
    "request_retained": (
        "a retained request is refused; it was cleared, publish without the retain flag",
        "保留的请求会被拒绝；已清除，请不带 retain 标志重新发布",
    ),
    "answer_too_large": (
        "the answer has {size} bytes and the broker takes {limit}; ask for less (limit, offset)",
        "应答有 {size} 字节，MQTT 服务器最多接收 {limit}；请缩小范围（limit、offset）",
    ),
    "request_failed": ("the bridge could not do it; the log says why", "桥接程序出错；原因见日志"),
    "assign_closed": ("'{user}' is not waiting for a decision", "“{user}”不需要指定"),
    "assign_unknown": ("nobody is called '{user}'", "没有名为“{user}”的联系人"),
    "stream_changed": (
        "this store is another one ({stream}), with numbers of its own; ask without since, or with its stream",
        "存储已更换（{stream}），编号重新开始；请不带 since 查询，或使用它的 stream",
    ),
    "unsupported_action": ("this backend cannot do '{name}'", "此后端不支持“{name}”"),
    "not_logged_in": (
        "WeChat is not logged in; ask again when login/state says online",
        "微信未登录；请在 login/state 为 online 后再试",
    ),
    "too_many_requests": (
        "{most} other requests are being answered; ask again in {retry_after:g} s",
        "正在回复另外 {most} 个请求；请在 {retry_after:g} 秒后再试",
    ),
    "too_often": (
        "WeChat says that this was too often; ask again in {retry_after:g} s",
        "微信提示操作过于频繁；请在 {retry_after:g} 秒后再试",
    ),
    "login_tried": (
        "the login was tried a moment ago; ask again in {retry_after:g} s",
        "刚刚尝试过登录；请在 {retry_after:g} 秒后再试",
    ),
    "not_taken": ("WeChat did not do it: {why}", "微信没有执行：{why}"),
    "not_done": (
        "WeChat does not answer, and nothing was changed; ask again later",
        "微信没有回应，未作任何改动；请稍后再试",
    ),
    "perhaps_done": (
        "WeChat never answered: it may be done or not; look before you ask again",
        "微信没有回应：可能已执行，也可能没有；再次请求前请先确认",
    ),
    "no_friend": ("'{user}' is none of your friends on WeChat", "“{user}”不是你的微信好友"),
    "no_group": ("'{user}' is no group", "“{user}”不是群"),
    "nobody_allowed": (
        "send.allow names people, and this one has no name yet; accept on the phone, or allow '*'",
        "send.allow 只列出了指定的人，而对方还没有名字；请在手机上接受，或允许“*”",
    ),
    "unknown_request_id": (
        "no friend request has the id '{id}'; it stands in the event friend_request",
        "没有 id 为“{id}”的好友申请；它在 friend_request 事件中",
    ),
    "old_request_id": (
        "the friend request '{id}' came in an earlier login and is void here; accept it on the phone",
        "好友申请“{id}”来自以前的登录，此处已失效；请在手机上接受",
    ),
    "group_too_small": ("a group needs {fewest} others at least", "建群至少需要另外 {fewest} 人"),
    "members_unknown": ("WeChat does not say who is in '{user}'", "微信没有给出“{user}”的成员"),
    "no_member": ("'{user}' is not in this group", "“{user}”不在此群中"),
    "several_members": (
        "several in this group are called '{user}'; name them by their topics",
        "此群中有多人名为“{user}”；请使用主题名",
    ),
    "reload_failed": (
        "the file has problems and nothing was changed: {problems}",
        "文件有误，未作任何改动：{problems}",
    ),
    # check
    "check_good": ("{file}: no problems", "{file}：没有问题"),
    "check_defaults": ("no file: the defaults", "没有配置文件，使用默认值"),
    "check_shown": ("shown on {url}/ until the file is fixed", "在 {url}/ 上显示，直到文件修正"),
    "warning_line": ("warning: {problem}", "警告：{problem}"),
    # what finishes a set-up
    "no_safeguards": (
        "remind, renew and fallback are off: while WeChat takes no message for you (24 hours after you last wrote, about ten messages later, or when the login has ended), alarms wait and may be lost.",
        "remind、renew 和 fallback 都未开启：微信不接收发给你的消息时（你上次发消息已超过 24 小时、此后已发约十条，或登录已失效），告警只能等着，还可能丢。",
    ),
    "no_fallback": (
        "fallback is off: while nobody is logged in, alarms wait and may be lost.",
        "fallback 未开启：没有登录时，告警只能等着，还可能丢。",
    ),
    # journal
    "command_unknown": (
        "no command has the id '{id}'; 'wx2mqtt journal list --all' shows them",
        "没有 id 为“{id}”的命令；可用 wx2mqtt journal list --all 查看",
    ),
    "command_settled": ("command '{id}' has its result already", "命令“{id}”已有结果"),
    "command_in_flight": (
        "command '{id}' is being sent; its result comes",
        "命令“{id}”正在发送；结果随后就到",
    ),
    "command_waits": ("command '{id}' is still under way", "命令“{id}”仍在处理中"),
    "command_refused": (
        "command '{id}' was refused, and its content is not kept; publish it again",
        "命令“{id}”已被拒绝，其内容未保存；请重新发布",
    ),
    "command_sent": ("command '{id}' was sent", "命令“{id}”已发送"),
    "command_fallback": (
        "'{id}' is the fallback of a command of the account {account}; retry that one, with --account {account}",
        "“{id}”是替账号 {account} 发的；请加上 --account {account} 重试原来的命令",
    ),
    "row_unknown": ("no message {row} was set aside", "没有被搁置的消息 {row}"),
    # backup, restore, purge
    "login_elsewhere": (
        "another instance runs this account; log in on that machine, on its page, or with request/login",
        "该账号由另一个实例运行；请在那台机器上、在它的页面上，或用 request/login 登录",
    ),
    "backup_done": (
        "{file}: the store {store} of {accounts}, {messages} messages, {media} files of media. It holds the saved login: who has it can read and write as you. Keep it like a password",
        "{file}：{accounts} 的存储 {store}，{messages} 条消息，{media} 个媒体文件。里面有已保存的登录：谁拿到它，谁就能以你的身份收发消息。请像密码一样保管",
    ),
    "backup_exists": (
        "{file} exists already; write over it with --force, or name the folder {folder}, where each backup gets a name with its time",
        "{file} 已存在；可用 --force 覆盖，或只写文件夹 {folder}，其中每份备份的名字都带有时间",
    ),
    "backup_keep_folder": (
        "--keep needs a folder, and {file} is none; create it, or leave out --keep",
        "--keep 需要一个文件夹，而 {file} 不是文件夹；请先创建它，或去掉 --keep",
    ),
    "backup_not_recorded": (
        "the backup is complete, but the store took no note of it ({why}): the metric of the last backup stays as it was",
        "备份已完成，但未能记入存储（{why}）：“上次备份”的指标保持不变",
    ),
    "backup_not_written": ("{file} cannot be written: {why}", "无法写入 {file}：{why}"),
    "backup_terminal": (
        "a backup is no text for a terminal; send it on, as in: wx2mqtt backup - > FILE",
        "备份不是可显示的文字；请重定向，例如：wx2mqtt backup - > FILE",
    ),
    "backup_no_store": (
        "there is no store at {folder} yet; start the bridge once",
        "{folder} 还没有存储；请先启动一次桥接程序",
    ),
    "backup_not_read": ("{file} cannot be read: {why}", "无法读取 {file}：{why}"),
    "backup_none": (
        "this is no backup; name a file that 'wx2mqtt backup' wrote",
        "这不是备份；请使用 wx2mqtt backup 写出的文件",
    ),
    "backup_damaged": (
        "the backup is damaged or cut off; use another one",
        "备份已损坏或不完整；请使用另一份",
    ),
    "backup_incomplete": (
        "the backup lacks {name}; use another one",
        "备份中缺少 {name}；请使用另一份",
    ),
    "backup_strange": (
        "the backup holds '{name}', which belongs into no store; it was not made by 'wx2mqtt backup'",
        "备份中有不属于存储的“{name}”；它不是由 wx2mqtt backup 生成的",
    ),
    "backup_unpacks_too_large": (
        "the backup unpacks to more than {ratio} times its size, which no store does; it was not made by 'wx2mqtt backup'",
        "备份解压后超过原大小的 {ratio} 倍，真正的存储不会这样；它不是由 wx2mqtt backup 生成的",
    ),
    "backup_newer": (
        "the backup was made by wx2mqtt {version}, in a form that this one does not know; install that one",
        "备份由 wx2mqtt {version} 生成，此版本不认识其格式；请安装该版本",
    ),
    "restore_not_empty": (
        "there is a store at {folder} already; with --force it is put aside and the backup takes its place",
        "{folder} 已有存储；加上 --force 会先把旧的挪开，再换成备份",
    ),
    "restore_database_not_empty": (
        "there is a store in the database already; make a backup of it, since --force deletes it, and the backup takes its place",
        "数据库中已有存储；请先备份，因为加上 --force 会删掉它，再换成备份",
    ),
    "restore_database_done": (
        "the database holds the store of {made} now, {messages} messages, {media} files of media; its new name (stream) is {stream}",
        "数据库现在是 {made} 的存储，{messages} 条消息，{media} 个媒体文件；新的名称（stream）为 {stream}",
    ),
    "restore_done": (
        "{folder} is the store of {made} now, {messages} messages, {media} files of media; its new name (stream) is {stream}",
        "{folder} 现在是 {made} 的存储，{messages} 条消息，{media} 个媒体文件；新的名称（stream）为 {stream}",
    ),
    "restore_base": (
        "the backup has the base topic '{base}' for the account {account}, and the configuration names none: if that is right, write it there as accounts.{account}.base_topic, and restore again",
        "备份里账号 {account} 的主题前缀是“{base}”，配置里没有写：如果没错，请在配置里写上 accounts.{account}.base_topic，再重新恢复",
    ),
    "restore_dropped": (
        "{count} publications that wait in the backup are left out: they are for topics that are not this bridge's",
        "丢弃了备份中 {count} 条等待发布的内容：它们的主题不属于这个桥接程序",
    ),
    "restore_root": (
        "{folder} belongs to root. systemd gives it to the service's user at the next start, where the unit has StateDirectory=; else do so yourself: chown -R USER {folder}",
        "{folder} 属于 root。单元文件中有 StateDirectory= 时，systemd 会在下次启动时把它交给服务的用户；否则请自行执行：chown -R USER {folder}",
    ),
    "restore_whose": (
        "it is not clear whose store this becomes: {folder} is root's own, which a service does not use. Name the folder as storage.path, or create /etc/wx2mqtt with the configuration first: then the store is /var/lib/wx2mqtt",
        "不清楚要恢复成谁的存储：{folder} 是 root 自己的，服务不会使用它。请用 storage.path 指定文件夹，或先创建 /etc/wx2mqtt 并放入配置：这样存储就是 /var/lib/wx2mqtt",
    ),
    "restore_aside": (
        "what was there before is in {replaced}, secrets included; remove it when all is well",
        "之前的内容在 {replaced}（含机密）；确认无误后请删除",
    ),
    "reload_refused": (
        "the configuration file was refused at the last reload, so the settings of before hold; problems: {count}, the first at {place}: {key}",
        "上次重新加载时配置文件被拒绝，仍使用之前的设置；问题 {count} 个，第一个在 {place}：{key}",
    ),
    "database_away": (
        "the database is away since {since}, so no account runs here ({why})",
        "数据库自 {since} 起无法使用，因此这里没有账号在运行（{why}）",
    ),
    "database_silent": (
        "the database does not answer, so nothing is sent or published until it does",
        "数据库没有应答，在恢复之前不发送也不发布",
    ),
    "is_drained": (
        "drained: takes no account until 'wx2mqtt cluster undrain'",
        "已排空：在执行 wx2mqtt cluster undrain 之前不接管账号",
    ),
    "no_account_here": ("no account runs on this instance", "此实例上没有账号在运行"),
    "key_lacking": (
        "nothing was changed: these instances do not have the new key: {instances}. Write it into their key_file, on the first line, and reload them",
        "未作任何更改：以下实例还没有新密钥：{instances}。请将其写入它们的 key_file 第一行，并重新加载",
    ),
    "key_is_new": (
        "nothing was changed: the database uses the first key of key_file already. To replace it, write a new one on a line above it",
        "未作任何更改：数据库已在使用 key_file 中的第一个密钥。要更换，请在其上方一行写入新密钥",
    ),
    "key_replaced": (
        "the database uses the new key; saved logins encrypted with it: {count} ({accounts}). Now take the second line out of every key_file, and reload",
        "数据库已改用新密钥；已用它加密的登录：{count} 个（{accounts}）。现在请删去每个 key_file 的第二行，并重新加载",
    ),
    "key_logins_forgotten": (
        "the database uses the new key; saved logins deleted: {count} ({accounts}). Start an instance, and scan again",
        "数据库已改用新密钥；已删除的登录：{count} 个（{accounts}）。请启动实例并重新扫码",
    ),
    "restore_doubt": (
        "the bridge ran while this backup was made, so it may have sent since what waits in it: nothing of that is sent again, and after the start the results say 'uncertain'",
        "备份时桥接程序正在运行，其中等待发送的命令此后可能已发出：不会再次发送，桥接程序启动后其结果为 uncertain",
    ),
    "purge_configured": (
        "account '{account}' is still in the configuration; take it out there and restart the bridge first",
        "账号“{account}”仍在配置中；请先从配置中删除并重启桥接程序",
    ),
    "purge_running": (
        "the bridge still runs account '{account}'; take it out of the configuration and restart the bridge first",
        "桥接程序仍在运行账号“{account}”；请先从配置中删除并重启桥接程序",
    ),
    "purge_unknown": (
        "the store knows no account '{account}'; those that are no longer configured: {known}",
        "存储中没有账号“{account}”；已不在配置中的账号：{known}",
    ),
    "purge_store": (
        "in the store: {messages} messages, {commands} commands, {people} people, {media} files of media, saved login: {login}",
        "存储中：{messages} 条消息、{commands} 条命令、{people} 个联系人、{media} 个媒体文件，已保存的登录：{login}",
    ),
    "purge_broker": (
        "at the broker: {count} retained topics below {base}, and the session of {clients}",
        "MQTT 服务器上：{base} 下的 {count} 个保留主题，以及 {clients} 的会话",
    ),
    "purge_session": ("at the broker: the session of {clients}", "MQTT 服务器上：{clients} 的会话"),
    "purge_device": (
        "at Home Assistant: the device that {topics} announces",
        "Home Assistant 中：由 {topics} 声明的设备",
    ),
    "purge_taken": (
        "the topics below {base} stay: they are those of account '{other}' now",
        "{base} 下的主题保留：它们现在属于账号“{other}”",
    ),
    "purge_ask": (
        "take all of this away for good?",
        "确定永久删除以上全部内容？",
    ),
    "purge_unasked": (
        "nobody can be asked here; add --yes to go on without",
        "此处无法询问；如要直接继续，请加上 --yes",
    ),
    "purge_refused": (
        "the broker does not let us clear {topics}; give the bridge's user the right, or leave the broker as it is with --no-broker",
        "MQTT 服务器不允许清除 {topics}；请授予桥接程序的用户权限，或用 --no-broker 跳过 MQTT 服务器",
    ),
    "purge_no_broker": (
        "the broker cannot be reached ({why}), and nothing was taken away; try again, or leave the broker as it is with --no-broker",
        "无法连接 MQTT 服务器（{why}），未删除任何内容；请重试，或用 --no-broker 跳过 MQTT 服务器",
    ),
    "purge_done": ("account '{account}' is gone", "账号“{account}”已清除"),
    "purge_aside": (
        "what a restore put aside may still hold it: {folder}; remove that when all is well",
        "恢复时保留的旧内容可能仍含该账号：{folder}；确认无误后请删除",
    ),
    # login
    "starting": ("starting", "正在启动"),
    "scan": ("scan the QR code with WeChat on the phone", "请用手机微信扫描二维码"),
    "code_over": ("the QR code has expired; a new one is fetched", "二维码已过期，正在获取新的二维码"),
    "scan_again": (
        "{why}; scan the QR code with WeChat on the phone",
        "{why}；请用手机微信扫描二维码",
    ),
    "confirm": ("confirm the login on the phone", "请在手机上确认登录"),
    "type_code": (
        "type the number that WeChat shows on the phone: request/login with code, or on the status page",
        "请输入手机微信上显示的数字：用 request/login 的 code 字段，或在状态页上输入",
    ),
    "wrong_code": (
        "that was not the number; type the one that WeChat shows on the phone now",
        "数字不符；请输入手机微信现在显示的数字",
    ),
    "no_terminal_code": (
        "WeChat asks for a number that is shown on the phone; log in at a terminal, or by the running bridge",
        "微信要求输入手机上显示的数字；请在终端中登录，或通过正在运行的桥接程序登录",
    ),
    "no_code_asked": (
        "no number is asked for now; without code, request/login shows a QR code",
        "现在不需要输入数字；不带 code 的 request/login 会显示二维码",
    ),
    "1 to 12 digits": (
        "1 to 12 digits, in quotes where they begin with 0",
        "1 到 12 位数字；以 0 开头时请加引号",
    ),
    "ask_phone": (
        "WeChat asks on the phone whether to log in; confirm there",
        "手机微信会询问是否登录，请确认",
    ),
    "online_unnamed": ("logged in", "已登录"),
    "online": ("logged in as {name}", "已登录：{name}"),
    "login_postponed": (
        "{why}; trying again later, and at once when a login is asked for",
        "{why}；稍后会重试，请求登录时立即再试",
    ),
    "interrupted": ("WeChat does not answer: {why}; trying again", "微信没有回应：{why}；正在重试"),
    "too_many_codes": (
        "{count} QR codes expired and nobody scanned; ask for a new one with request/login",
        "{count} 个二维码已过期，无人扫描；请用 request/login 重新获取",
    ),
    "too_many_codes_here": (
        "{count} QR codes expired and nobody scanned; run 'wx2mqtt login' again",
        "{count} 个二维码已过期，无人扫描；请重新运行 wx2mqtt login",
    ),
    "nobody_came": ("nobody logged in within an hour", "一小时内无人登录"),
    "code_elsewhere": (
        "this is no terminal, so no code is drawn here; it is on {topic}",
        "这里不是终端，无法显示二维码；二维码在主题 {topic} 上",
    ),
    "no_terminal": (
        "the code is drawn on a terminal only; run 'wx2mqtt login' on one, or 'wx2mqtt run' and scan {topic}",
        "二维码只在终端上显示；请在终端运行 wx2mqtt login，或运行 wx2mqtt run 并扫描主题 {topic}",
    ),
    "logged_out_by_request": (
        "logged out as asked; log in again with request/login",
        "已按请求退出登录；请用 request/login 重新登录",
    ),
    "login_ended_title": ("wx2mqtt {account}: log in again", "wx2mqtt {account}：请重新登录"),
    "login_ended": ("{why}; log in again: {page}", "{why}；请重新登录：{page}"),
    "login_ended_no_page": (
        "{why}; log in again on the page of the bridge",
        "{why}；请在桥接程序的网页上重新登录",
    ),
    "reminder": (
        "Alarms reach you here until {time}. Write anything, for example 1, so that they keep coming.",
        "{time} 之后告警就发不到这里了。随便回一句（例如 1），就能继续收到。",
    ),
    "renew_alone": (
        "'renew' goes with neither 'code' nor 'new_owner'",
        "“renew”不能与“code”或“new_owner”同时使用",
    ),
    "renew": (
        "logged in; scan the QR code with WeChat on the phone to renew the login",
        "已登录；要续期，请用手机微信扫描二维码",
    ),
    "renew_hint": (
        "To renew the login of the bridge: press long on the picture, recognise the code, confirm, write here.",
        "请给桥接程序的登录续期：长按图片，识别二维码，确认，再在这里发一条消息。",
    ),
    "renewal_refused": (
        "WeChat does not accept the renewed login",
        "微信不接受续期后的登录",
    ),
    "stopped": ("the bridge was stopped", "桥接程序已停止"),
    "given_up": (
        "this instance of the bridge has given the account up for another one",
        "此桥接实例已将该账号交给其他实例",
    ),
    "account_failed": (
        "a fault of the bridge itself ended this account; it is begun again by itself, and the log says more",
        "桥接程序自身出错，此账号已停止；它会自动重新启动，详情见日志",
    ),
    "storage_full_state": (
        "the store is full ({limit}); nothing more is received until there is room",
        "存储已满（{limit}）；腾出空间前不再接收消息",
    ),
    "storage_trouble": (
        "what comes in cannot be stored: {why}; nothing more is received until it can",
        "无法写入存储：{why}；恢复前不再接收消息",
    ),
}


# Lists that the bridge makes itself: they are long with a reason, and hold nothing of the caller.
_OWN_FACTS = ("known", "problems")


# Returns a sentence: `bridge_text(language, key, **facts)`.
bridge_text = partial(text, BRIDGE_MESSAGES)


def rejection_text(language: Language, bad: BadCommand) -> str:
    """Returns the sentence that says why a command or request was rejected.

    The fact `expected` is itself a key of `BRIDGE_MESSAGES` and is translated, too. Long facts are cut.
    A lone surrogate, which UTF-8 cannot hold, becomes `?`.
    """
    facts = {name: fact if name in _OWN_FACTS else _quotable(fact) for name, fact in bad.facts.items()}
    if "expected" in facts:
        facts["expected"] = bridge_text(language, str(facts["expected"]))
    return bridge_text(language, bad.message_key, **facts)


def _quotable(fact: object) -> object:
    """Returns the beginning of a long text: whoever sends a command chooses what its refusal quotes."""
    if not isinstance(fact, str):
        return fact
    begin = fact[:MAX_FACT_CHARACTERS].encode("utf-8", "replace").decode()
    return begin if len(fact) <= MAX_FACT_CHARACTERS else f"{begin}…"
