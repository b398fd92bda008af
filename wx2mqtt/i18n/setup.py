"""What `wx2mqtt setup` asks and tells, in English and Chinese."""

from __future__ import annotations

from wx2mqtt.i18n.bridge import Language

SETUP_MESSAGES: dict[str, tuple[str, str]] = {
    # questions
    "this_language": ("English", "中文"),
    "which_language": ("In which language shall the bridge speak?", "桥接程序使用哪种语言?"),
    "backends": (
        "For alarms, and commands to your home, choose ilink: low risk, but it knows you alone, and takes messages for a day after you wrote. For friends and groups choose webwx, which is against WeChat's rules and lets few accounts in.",
        "自己收告警、给家里发指令,请选 ilink:风险低,但只认识您一人,且只在您发过消息后的一天内能送达。需要好友和群聊,请选 webwx:它违反微信规则,且只有少数账号能登录。",
    ),
    "which_backend": ("Which backend?", "使用哪种后端?"),
    "which_broker": ("Which MQTT broker?", "使用哪个 MQTT 代理?"),
    "found_supervisor": (
        "Home Assistant's own, {host}:{port}, with its user and password",
        "Home Assistant 自带的 {host}:{port}(含用户名和密码)",
    ),
    "found_here": ("the one on this machine, {host}:{port}", "本机上的 {host}:{port}"),
    "other_broker": ("another one", "其他代理"),
    "no_broker": (
        "none: the bridge brings one along, for this machine alone",
        "没有:由桥接程序自带,仅限本机使用",
    ),
    "host": ("Its name or address", "主机名或地址"),
    "no_host": ("that is no name or address of a host, without port", "这不是主机名或地址(不含端口)"),
    "tls": ("With TLS?", "使用 TLS?"),
    "port": ("Port", "端口"),
    "no_port": ("a port is a number from 1 to 65535", "端口是 1 到 65535 的数字"),
    "ca_file": (
        "The file of the authority that signed its certificate (empty: one that everybody knows)",
        "签发其证书的机构的证书文件(留空:公认机构)",
    ),
    "user": ("User (empty: none)", "用户名(留空:无)"),
    "password": ("Password (not shown)", "密码(不显示)"),
    "again": ("Correct it and try again?", "修改后重试?"),
    "home_assistant": ("Show the account in Home Assistant?", "在 Home Assistant 中显示此账号?"),
    "people": (
        "Whom shall automations know? For each a name for the topic, and the remark that WeChat shows for them. Everybody else gets a name by itself.",
        "自动化需要认识哪些人?请为每人取一个主题名,并写出微信里的备注。其他人会自动得到名字。",
    ),
    "person": ("Name for the topic (empty: enough)", "主题名(留空:结束)"),
    "remark": ("The remark of {name} in WeChat", "{name} 在微信中的备注"),
    "owner": (
        "Your own name for the topic (empty: it is owner)",
        "您自己的主题名(留空:owner)",
    ),
    "overwrite": (
        "{path} is there. Write another one? The old one stays beside it.",
        "{path} 已存在。另写一份?旧文件会保留。",
    ),
    "write_unit": ("Write a systemd service, {path}?", "写入 systemd 服务 {path}?"),
    # told
    "trying": ("trying {url} …", "正在测试 {url} …"),
    "broker_good": ("the broker does all that the bridge needs", "代理满足桥接程序的全部需要"),
    "broker_bad": (
        "the broker cannot be used like that; nothing was written (--no-try writes without trying)",
        "代理无法这样使用;未写入任何文件(--no-try 可不测试直接写入)",
    ),
    "broker_lacks": (
        "the bridge can be set up, but not all of it will work until this is mended",
        "可以继续设置,但在解决以上问题之前部分功能无法使用",
    ),
    "not_overwritten": (
        "{path} is there and stays as it is; say --overwrite, or another place with -c",
        "{path} 已存在,保持不变;请使用 --overwrite,或用 -c 指定其他位置",
    ),
    "missing": (
        "nobody can be asked here: give {options}, or --yes, which takes what is found and what is usual",
        "此处无法提问:请给出 {options},或使用 --yes 采用找到的和通常的设置",
    ),
    "no_broker_found": (
        "no broker was found: give --host, or --embedded",
        "没有找到代理:请给出 --host 或 --embedded",
    ),
    "wrote": ("wrote {path}", "已写入 {path}"),
    "kept": ("the old one is {path}", "旧文件为 {path}"),
    "passes": ("it has no problems", "文件没有问题"),
    "unit_hidden": (
        "no systemd service: in its sandbox it could not see {path}; install below /opt and write to /etc/wx2mqtt",
        "未写入 systemd 服务:其沙箱看不到 {path};请安装到 /opt 之下,配置写到 /etc/wx2mqtt",
    ),
    "next_unit": (
        "next: systemctl daemon-reload && systemctl enable --now wx2mqtt",
        "接下来:systemctl daemon-reload && systemctl enable --now wx2mqtt",
    ),
    "next_run": ("next: wx2mqtt run -c {path}", "接下来:wx2mqtt run -c {path}"),
    "next_scan": (
        "then scan the QR code: wx2mqtt login -c {path}, or the picture on the topic wx/login/qr",
        "然后扫描二维码:wx2mqtt login -c {path},或主题 wx/login/qr 上的图片",
    ),
    "next_write": (
        "and write to the bot once: before that WeChat takes nothing for you",
        "再给机器人写一条消息:在此之前微信不接收发给您的内容",
    ),
}


def setup_text(language: Language, message_key: str, /, **facts: object) -> str:
    """The sentence of that name."""
    return SETUP_MESSAGES[message_key][language == "zh"].format_map(facts)
