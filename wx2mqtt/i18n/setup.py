"""The messages of `wx2mqtt setup` and `wx2mqtt demo`, and the words of `--help` that the reference lacks.

`backend_table` helps to choose a backend.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from wx2mqtt.i18n import Catalogue, Language, text

# Chinese by the English text, as it stands in the code and in typer.
HELP_TEXTS: Mapping[str, str] = {
    "[OPTIONS]": "[选项]",
    "COMMAND [ARGS]...": "命令 [参数]...",
    "A bridge between a personal WeChat account and MQTT.": "个人微信账号与 MQTT 之间的桥接程序。",
    "Show and settle commands that wait, failed or are uncertain.": "查看并处理等待中、失败或结果不明的命令。",
    "Show who has which topic; settle matches that the bridge does not guess.": "查看每个人的主题；指定桥接程序认不准的人。",
    "Print machine-readable schemas.": "输出供程序读取的 schema。",
    "Show the version and exit.": "显示版本并退出。",
    "Show this message and exit.": "显示此说明并退出。",
    "Install completion for the current shell.": "为当前 shell 安装补全。",
    "Show completion for the current shell, to copy it or customize the installation.": "显示当前 shell 的补全，以便复制或自定义安装。",
}

SETUP_MESSAGES: Catalogue = {
    # questions
    "this_language": ("English", "中文"),
    "which_language": ("Which language should the bridge use?", "桥接程序使用哪种语言？"),
    "backends": (
        "For alarms, and for commands to your home, choose ilink: low risk, but it reaches only you, and only for a day after your last message to it. Without such a window, with groups and buttons, but in the WeCom app: choose wecom. For friends and groups choose webwx: it is against WeChat's rules, and few accounts can log in.",
        "只给自己收告警、给家里下命令，选 ilink：风险低，但只能发给你一个人，而且你发消息之后的一天内才送得到。不要这个时限，要群和按钮，也愿意用企业微信，选 wecom。要好友和群聊，选 webwx：它违反微信的规则，而且只有少数账号能登录。",
    ),
    "bot_ways": (
        "A bot comes about in one of two ways: a scan with the WeCom app makes one, or you make it in WeCom by hand (API mode, long connection) and give its Bot ID and Secret here.",
        "机器人可以扫码创建（用企业微信扫），也可以在企业微信里手动创建（API 模式，使用长连接），再把 Bot ID 和 Secret 填在这里。",
    ),
    "bot_id": ("Bot ID; empty: a scan makes the bot", "Bot ID；留空则扫码创建"),
    "bot_secret": ("Its Secret (not shown)", "它的 Secret（不显示）"),
    "no_bot_secret": ("a Bot ID needs its Secret", "填写 Bot ID 时必须填写 Secret"),
    "userid": (
        "Your userid in WeCom, who is trusted then; empty: say later who you are",
        "你在企业微信中的 userid，填写后即受信任；留空则以后再指定",
    ),
    "log_in_now": (
        "Log in now, and say who you are?",
        "现在登录，并指定你自己吗？",
    ),
    "which_backend": ("Which backend?", "使用哪种后端？"),
    "which_broker": ("Which MQTT broker?", "使用哪个 MQTT 服务器？"),
    "found_supervisor": (
        "Home Assistant's own, {host}:{port}, with its user and password",
        "Home Assistant 自带的 {host}:{port}（含用户名和密码）",
    ),
    "found_here": ("the one on this machine, {host}:{port}", "本机上的 {host}:{port}"),
    "other_broker": ("another one", "其他 MQTT 服务器"),
    "no_broker": (
        "none: use the one that comes with the bridge, for this machine only",
        "没有：由桥接程序自带，仅限本机使用",
    ),
    "host": ("Host name or address of the broker", "MQTT 服务器的主机名或地址"),
    "no_host": ("that is no host name or address (write it without port)", "这不是主机名或地址（不含端口）"),
    "tls": ("Connect with TLS?", "使用 TLS？"),
    "port": ("Port", "端口"),
    "no_port": ("a port is a number from 1 to 65535", "端口是 1 到 65535 的数字"),
    "ca_file": (
        "File with the CA certificate of the broker (empty: it is signed by a public CA)",
        "MQTT 服务器的 CA 证书文件（留空：由公认机构签发）",
    ),
    "user": ("User name (empty: none)", "用户名（留空：无）"),
    "password": ("Password (not shown)", "密码（不显示）"),
    "again": ("Change the answers and try again?", "修改回答后重试？"),
    "home_assistant": ("Show the account in Home Assistant?", "要在 Home Assistant 里显示这个账号吗？"),
    "people": (
        "Which people will your automations know? Give each a name for the topic, and the remark that WeChat shows for them. Everybody else gets a name automatically.",
        "自动化需要认识哪些人？请给每人取一个主题名，并写出微信里的备注。其他人的名字自动生成。",
    ),
    "person": ("Name for the topic (empty: no more people)", "主题名（留空：结束）"),
    "remark": ("The remark of {name} in WeChat", "{name} 在微信中的备注"),
    "owner": (
        "Name for yourself in the topic",
        "你自己的主题名",
    ),
    "remind": (
        "WeChat takes messages to you for 24 hours after your last one. Shall the bridge remind you 2 hours before that ends, outside of 22:00 to 07:00?",
        "你发一条消息之后的 24 小时内，微信才收发给你的消息。到期前 2 小时要提醒你吗（22:00 至 07:00 不提醒）？",
    ),
    "renew": (
        "WeChat may end the login of a bot some day without a word. Shall the bridge show you the code of the next login in the chat when this one is 25 days old?",
        "机器人的登录哪天失效，微信事先不会说。登录满 25 天时，要把下一次登录的二维码发到聊天里吗？",
    ),
    "fallback": (
        "Urgent alarms that WeChat does not take within 30 seconds can go another way: e-mail, SMS, Telegram and others. Name one now?",
        "微信 30 秒内没收的紧急告警，可以改走备用通道：Server酱、PushPlus、邮件、短信等。现在设一个吗？",
    ),
    "fallback_url": (
        "Its apprise address, such as mailto://user:password@example.org (not shown)",
        "它的 apprise 网址，例如 schan://SENDKEY 或 mailto://user:password@example.org（不显示）",
    ),
    "no_fallback_url": (
        "that is no address: it has a scheme and ://; leave it empty for none",
        "这不是网址：应包含协议和 ://；留空表示不设置",
    ),
    "allow_hosts": (
        "Hosts in your network whose pictures may be sent by their address, such as cameras and Home Assistant (if you open it by an IP address: by that, too), with a space between (-: none)",
        "允许从哪些内网主机取图片来发，例如 Home Assistant 和摄像头，用空格分隔；用 IP 打开 Home Assistant 的，要把这个 IP 也填进去（-：没有）",
    ),
    "overwrite": (
        "{path} exists already. Replace it? The old file is kept beside it.",
        "{path} 已存在。要替换吗？旧文件会保留在旁边。",
    ),
    "overwrite_password": ("{path} exists already. Replace it?", "{path} 已存在。要替换吗？"),
    "write_unit": ("Write a systemd service to {path}?", "把 systemd 服务写入 {path}？"),
    # messages
    "trying": ("trying {url} …", "正在测试 {url} …"),
    "broker_good": ("the broker does everything that the bridge needs", "MQTT 服务器满足桥接程序的全部需要"),
    "broker_bad": (
        "the broker cannot be used with these answers; nothing was written (--no-try skips the test)",
        "按这些回答连不上可用的 MQTT 服务器；没有写入任何文件（--no-try 可跳过测试）",
    ),
    "broker_lacks": (
        "setup can go on, but some things will not work until this is fixed",
        "可以继续设置，但在解决以上问题之前部分功能无法使用",
    ),
    "not_overwritten": (
        "{path} exists already and was not changed; use --overwrite, or name another file with -c",
        "{path} 已存在，保持不变；请使用 --overwrite，或用 -c 指定其他位置",
    ),
    "missing": (
        "questions need a terminal: give {options}, or --yes to use what is found and the defaults",
        "此处无法提问：请给出 {options}，或使用 --yes 采用找到的和默认的设置",
    ),
    "no_broker_found": (
        "no broker was found: give --host, or --embedded",
        "没有找到 MQTT 服务器：请给出 --host 或 --embedded",
    ),
    "wrote": ("wrote {path}", "已写入 {path}"),
    "kept": ("the old file is {path}", "旧文件为 {path}"),
    "passes": ("the configuration has no problems", "配置没有问题"),
    "unit_hidden": (
        "no systemd service was written: its sandbox hides {path}; install below /opt and write the configuration to /etc/wx2mqtt",
        "未写入 systemd 服务：其沙箱看不到 {path}；请安装到 /opt 之下，配置写到 /etc/wx2mqtt",
    ),
    "as_needs_root": (
        "only root can check as somebody else: sudo wx2mqtt check --as {name}",
        "只有 root 才能以他人的身份检查：sudo wx2mqtt check --as {name}",
    ),
    "as_unknown": (
        "this machine has no user {name}, and no service {name}.service with DynamicUser=yes; name the user or the service that runs the bridge",
        "本机没有用户 {name}，也没有带 DynamicUser=yes 的服务 {name}.service；请写运行桥接程序的用户或服务",
    ),
    "as_unknown_group": (
        "the unit names the group {name}, which this machine does not have",
        "单元文件中的组 {name} 在本机不存在",
    ),
    "as_no_credential": (
        "the unit hands over {name} from {path}, which cannot be read ({why}): the service would not start",
        "单元文件要从 {path} 传入 {name}，但无法读取（{why}）：服务将无法启动",
    ),
    "as_no_program": (
        "the unit starts {program}, which user {user} cannot run ({why}). Often its Python is below /root or /home: make the virtual environment again with /usr/bin/python3",
        "单元文件启动的 {program} 无法由用户 {user} 运行（{why}）。常见原因是其 Python 位于 /root 或 /home 之下：请用 /usr/bin/python3 重建虚拟环境",
    ),
    "unit_hidden_python": (
        "no systemd service was written: its sandbox hides the Python {path}; make the virtual environment again with /usr/bin/python3",
        "未写入 systemd 服务：其沙箱看不到 Python {path}；请用 /usr/bin/python3 重建虚拟环境",
    ),
    "unit_no_systemd": (
        "no systemd service was written: systemd does not run here; --unit {path} writes it all the same",
        "未写入 systemd 服务：本机没有运行 systemd；加上 --unit {path} 仍可写入",
    ),
    "next_unit": (
        "next: systemctl daemon-reload && systemctl enable --now {unit}",
        "接下来：systemctl daemon-reload && systemctl enable --now {unit}",
    ),
    "next_run": ("next: {program} run -c {path}", "接下来：{program} run -c {path}"),
    "next_scan": (
        "then scan the QR code: the picture on the topic wx/login/qr, or at a terminal: {program} login -c {path}",
        "然后扫描二维码：主题 wx/login/qr 上的图片，或在终端中：{program} login -c {path}",
    ),
    "next_scan_wecom": (
        "then scan the QR code with the WeCom app, on the topic wx/login/qr or at a terminal, and confirm there that the bot is yours: {program} login -c {path}",
        "然后用企业微信扫描二维码（主题 wx/login/qr 上的图片，或在终端中），并在终端确认机器人是你的：{program} login -c {path}",
    ),
    "next_owner": (
        "and write to the bot, then say who you are: 'This is me' on the page, or {program} login -c {path}",
        "再给机器人发一条消息，然后指定你自己：在状态页上点“这是我”，或 {program} login -c {path}",
    ),
    "next_owner_known": (
        "and write to the bot once: before that it cannot write to you",
        "再给机器人发一条消息：不先发，它就没法给你发",
    ),
    "next_write": (
        "and write to the bot once: before that it cannot write to you",
        "再给机器人发一条消息：不先发，它就没法给你发",
    ),
}


# Returns a sentence: `setup_text(language, key, **facts)`.
setup_text = partial(text, SETUP_MESSAGES)


DEMO_MESSAGES: Catalogue = {
    "who_bridge": ("bridge", "桥接"),
    "who_wechat": ("WeChat", "微信"),
    "who_you": ("you", "你"),
    "who_phone": ("phone", "手机"),
    "from_bot": ("from the bot:", "机器人："),
    "from_owner": ("from the owner:", "主人："),
    "local": ("nothing leaves this machine.", "数据都不会离开本机。"),
    "shared": (
        """no WeChat account is involved; your broker keeps nothing of it afterwards.
Whoever may use that broker sees these messages, and may write to the simulated WeChat.
The phone and the page are for this machine alone.""",
        """用不到微信账号；结束后不会在你的 MQTT 服务器上留下任何内容。
能连上这个 MQTT 服务器的人，都能看到这些消息，也能向模拟的微信发消息。
手机和状态页只在本机可用。""",
    ),
    "action_ilink": (
        "press Scan, then Connect, and write to the bot",
        "点“扫一扫”，再点“连接”，然后给机器人发一句话",
    ),
    "action_wecom": (
        "press Scan, then Make the bot, and write as one of the people",
        "点“扫一扫”，再点“创建机器人”，然后以其中一个人的身份发一句话",
    ),
    "action_webwx": (
        "press Scan, then Confirm, and write as one of the people",
        "点“扫一扫”，再点“确认登录”，然后以其中一个人的身份发一句话",
    ),
    "ports_in_use": (
        "cannot open port {ports}: choose others with these options, or 0 for any free port",
        "以下端口无法使用：{ports}。请用这些选项选择其他端口，0 表示任意空闲端口",
    ),
    "use_that_broker": (
        "; if a broker of yours has port {port}, --broker mqtt://127.0.0.1:{port} uses that",
        "；如果 {port} 端口是你自己的 MQTT 服务器，可用 --broker mqtt://127.0.0.1:{port} 使用它",
    ),
    "sender": (
        """
  write by HTTP   curl -H "Authorization: Bearer {token}" -H 'Content-Type: text/plain' -d 'Dinner is ready' {page}/send/{user}      all senders are at this port here""",
        """
  用 HTTP 发      curl -H "Authorization: Bearer {token}" -H 'Content-Type: text/plain' -d '开饭了' {page}/send/{user}      演示中所有发送方都用这个端口""",
    ),
    "fallback": (
        """
  the fallback    what is urgent and does not get through is printed here after {seconds} s, or at once with hold: false in a shut window""",
        """
  备用通道        紧急消息 {seconds} 秒内发不进微信，就显示在这里；窗口关着又带 hold: false 时马上显示""",
    ),
    "dinner": ("Dinner is ready", "开饭了"),
    "by_fallback": ("by the fallback  ←  {text}", "备用通道  ←  {text}"),
    "password": (
        """
  its password    read -rs {variable}      type it unseen; the commands below use it""",
        """
  密码            read -rs {variable}      输入密码（不显示），供下面的命令使用""",
    ),
    "no_websocket": (
        " (the commands below need its port for MQTT without WebSocket: -p, else 1883)",
        "（下面的命令需要它不经 WebSocket 的 MQTT 端口：用 -p 指定，默认为 1883）",
    ),
    "mqtt_3": (
        " (MQTT 3.1.1 only; where mosquitto is installed the demo speaks MQTT 5)",
        "（仅 MQTT 3.1.1；装有 mosquitto 时，演示支持 MQTT 5）",
    ),
    "explanation": (
        """wx2mqtt demo: {scope}

  the phone       {phones}
  the broker      {broker}{password}
  the page        {page}/      QR code, state of the bridge, people and their topics
  Home Assistant  add its MQTT integration with this broker, see deploy/home-assistant
  what happens    mosquitto_sub {options} {filters} -F '%t  %p'
  write to WeChat {commands}{sender}
  files           {files}      what is in it may be sent by path
  ask             {program} ask -c {control} {user} 'Dinner now?' yes no
  what failed     {program} journal list -c {control}{fallback}

Stop with Ctrl-C.""",
        """wx2mqtt 演示：{scope}

  手机            {phones}
  MQTT 服务器      {broker}{password}
  状态页          {page}/      二维码、桥接程序的状态、联系人及其主题
  Home Assistant  在它的 MQTT 集成中填写这个 MQTT 服务器，见 deploy/home-assistant/README.zh.md
  查看消息        mosquitto_sub {options} {filters} -F '%t  %p'
  发到微信        {commands}{sender}
  文件            {files}      其中的文件可以用 path 发送
  提问            {program} ask -c {control} {user} '现在开饭吗？' 好 等等
  没发出去的      {program} journal list -c {control}{fallback}

按 Ctrl-C 停止。""",
    ),
}


# Returns a sentence: `demo_text(language, key, **facts)`.
demo_text = partial(text, DEMO_MESSAGES)


Texts = tuple[str, str]
"""English and Chinese."""

# The table that helps to choose a backend; `docs/en/backends.md` says the same at length. A fourth backend is a
# column more. These are the heads of the columns after the first one.
_BACKENDS = ("ilink", "wecom", "webwx")

# Label, then a cell for each backend. A line fits into the 80 columns of a terminal.
_ROWS: tuple[tuple[Texts, Texts, Texts, Texts], ...] = (
    (
        ("who reads it", "谁能读到"),
        ("you, in WeChat", "你自己，在微信里"),
        ("colleagues, in WeCom", "同事，在企业微信里"),
        ("friends and groups", "好友和群"),
    ),
    (
        ("window", "发送窗口"),
        ("24 h, 10 messages", "24 小时，约 10 条"),
        ("none; they write first", "无，对方先发一次即可"),
        ("none", "无"),
    ),
    (
        ("groups", "群"),
        ("no", "不支持"),
        ("internal, with @bot", "内部群，需 @机器人"),
        ("yes", "支持"),
    ),
    (
        ("buttons", "按钮"),
        ("numbered lines", "带编号的文字"),
        ("cards; groups: lines", "卡片（群里为文字）"),
        ("numbered lines", "带编号的文字"),
    ),
    (
        ("risk of a ban", "封号风险"),
        ("low: official", "低：官方接口"),
        ("low: official", "低：官方接口"),
        ("high: against rules", "高：违反微信规则"),
    ),
    (
        ("you need", "需要"),
        ("WeChat on a phone", "手机微信"),
        ("enterprise (free), app", "企业（免费注册）和应用"),
        ("login on the web", "能登录网页版的账号"),
    ),
)


def backend_table(language: Language) -> list[str]:
    """Returns the lines of the table, with a head."""
    index = 1 if language == "zh" else 0
    rows: list[Sequence[str]] = [("", *_BACKENDS)]
    rows += [tuple(cell[index] for cell in row) for row in _ROWS]
    return list(column_lines(rows))


def column_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields the rows with their cells one below the other, two blanks apart."""
    widths = [max(map(text_width, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (width - text_width(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def text_width(text: str) -> int:
    """Returns the number of terminal columns; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
