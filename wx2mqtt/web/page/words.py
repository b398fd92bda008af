"""Every sentence of the page, in English and Chinese. Those for problems are in `cures`."""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.web.html import Html, together
from wx2mqtt.words import Language

WORDS: Mapping[str, tuple[str, str]] = {
    # the frame
    "no_script": ("Reload the page to see what is new.", "刷新页面可查看最新内容。"),
    "lost": ("The bridge does not answer; trying again.", "无法连接到桥接程序,正在重试。"),
    "to_content": ("To the content", "跳到内容"),
    "log_out_here": ("Leave this page", "退出本页面"),
    # after a form
    "said_test": ("The test is on its way; its result stands below.", "测试已提交;结果见下方。"),
    "said_number": ("The number was handed on.", "数字已提交。"),
    "said_no_number": ("No number is asked for now.", "目前不需要输入数字。"),
    "said_login": ("A code was asked for.", "已请求新的二维码。"),
    "said_logout": ("The bridge logs out.", "正在退出微信登录。"),
    # the login
    "wechat": ("WeChat", "微信"),
    "state_starting": ("Starting", "正在启动"),
    "state_waiting_for_scan": ("Scan the code", "请扫描二维码"),
    "state_waiting_for_confirm": ("Confirm on the phone", "请在手机上确认"),
    "state_online": ("Online", "在线"),
    "state_interrupted": ("Interrupted", "连接中断"),
    "state_logged_out": ("Logged out", "已退出登录"),
    "state_refused": ("Refused", "登录被拒绝"),
    "state_stopped": ("Stopped", "已停止"),
    "logged_in_as": ("Logged in as {name}", "已登录:{name}"),
    "since": ("since {time}", "自 {time} 起"),
    "said_by_bridge": ("The bridge says: {reason}", "桥接程序:{reason}"),
    "code": ("QR code: scan it with WeChat on the phone", "登录二维码:请用手机微信扫描"),
    "good_until": ("Good until {time}.", "有效期至 {time}。"),
    "left": ("{time} left, then a new one comes.", "剩余 {time},之后自动更新。"),
    "number_what": ("WeChat asks for a number.", "微信要求输入数字。"),
    "number_todo": ("Enter here the number that the phone shows.", "请在此输入手机上显示的数字。"),
    "number_label": ("Number on the phone", "手机上的数字"),
    "log_in": ("Log in", "登录"),
    "new_code": ("Another code", "换一个二维码"),
    "log_out": ("Log out of WeChat…", "退出微信登录…"),
    # before a logout
    "ask_title": ("Log out of WeChat?", "退出微信登录?"),
    "ask_text": (
        "The account {account} ends its login. To log in again a person must scan a code with the phone.",
        "账号 {account} 将退出登录。再次登录需要用手机扫描二维码。",
    ),
    "ask_yes": ("Log out", "退出登录"),
    "ask_no": ("Stay logged in", "保持登录"),
    # problems
    "problems": ("What is wrong", "问题"),
    "none_wrong": ("Nothing is wrong.", "一切正常。"),
    "not_known": (
        "The store does not answer, so little is known now.",
        "存储没有响应,暂时无法获取更多信息。",
    ),
    # figures
    "figures": ("Queues and connections", "队列与连接"),
    "broker": ("Broker", "MQTT 代理"),
    "broker_here": ("connected, MQTT {protocol}", "已连接,MQTT {protocol}"),
    "broker_away": ("not connected", "未连接"),
    "connects": (", reconnected {count} times since the start", ",启动以来重连 {count} 次"),
    "answered": ("Last answer of WeChat", "微信最近一次应答"),
    "never": ("none yet", "尚无"),
    "to_mqtt": ("Waiting for the broker", "等待发布到 MQTT"),
    "to_wechat": ("Waiting for WeChat", "等待发送到微信"),
    "waiting": ("{count}, since {time}", "{count} 条,自 {time} 起"),
    "nothing": ("nothing", "无"),
    "to_fetch": ("Files still to be fetched", "待下载的文件"),
    "failed_today": ("Commands that failed today", "今天失败的命令"),
    "messages": ("Messages ever published", "累计消息数"),
    "store": ("Store", "存储"),
    "of_limit": ("{size} of {limit}", "{size},上限 {limit}"),
    "started": ("Running since", "启动时间"),
    # messages
    "last_messages": ("Last messages", "最近的消息"),
    "no_messages": ("No message has come yet.", "还没有收到消息。"),
    "show_text": ("Show what they say", "显示内容"),
    "hide_text": ("Hide what they say", "隐藏内容"),
    "hidden": ("The texts are hidden.", "内容已隐藏。"),
    "in_group": ("{sender} in {chat}", "{sender},于 {chat}"),
    "me": ("me", "我"),
    "open_file": ("open", "打开"),
    "kind_text": ("text", "文字"),
    "kind_image": ("picture", "图片"),
    "kind_voice": ("voice", "语音"),
    "kind_video": ("video", "视频"),
    "kind_sticker": ("sticker", "表情"),
    "kind_file": ("file", "文件"),
    "kind_link": ("link", "链接"),
    "kind_mini_program": ("mini program", "小程序"),
    "kind_location": ("place", "位置"),
    "kind_card": ("contact card", "名片"),
    "kind_quote": ("reply", "引用回复"),
    "kind_chat_history": ("chat history", "聊天记录"),
    "kind_transfer": ("transfer", "转账"),
    "kind_red_packet": ("red packet", "红包"),
    "kind_system": ("system", "系统消息"),
    "kind_unsupported": ("unsupported", "不支持的类型"),
    "kind_recall": ("recall", "撤回"),
    # commands
    "last_commands": ("Last commands", "最近的命令"),
    "no_commands": ("No command has come yet.", "还没有命令。"),
    "to_whom": ("to {user}", "发给 {user}"),
    "status_waiting": ("waiting", "等待中"),
    "status_sending": ("being sent", "发送中"),
    "status_sent": ("sent", "已发送"),
    "status_failed": ("failed", "失败"),
    "status_expired": ("expired", "已过期"),
    "status_rejected": ("rejected", "已拒绝"),
    "status_uncertain": ("uncertain", "不确定"),
    "test_label": ("Send a test to yourself ({user})", "给自己({user})发一条测试消息"),
    "test_text": ("Test from wx2mqtt", "来自 wx2mqtt 的测试"),
    "send": ("Send", "发送"),
    # contacts
    "contacts": ("Contacts and their topics", "联系人及其主题"),
    "search": ("Search", "搜索"),
    "search_label": ("Name, remark or topic", "名字、备注或主题"),
    "found": ("{first} to {last} of {count}", "第 {first} 至 {last} 个,共 {count} 个"),
    "nobody": ("Nobody is called so.", "没有符合的联系人。"),
    "nobody_yet": ("The contacts are known after the first login.", "首次登录后可看到联系人。"),
    "earlier": ("Back", "上一页"),
    "later": ("Next", "下一页"),
    "write_to": ("write to", "发送到"),
    "reads_from": ("arrives on", "接收自"),
    "is_group": ("group", "群聊"),
    "is_official": ("official", "公众号"),
    "is_self": ("yourself", "自己"),
    "is_system": ("WeChat", "微信系统"),
    "is_trusted": ("trusted", "可信"),
    "is_stranger": ("no contact", "非联系人"),
    "is_removed": ("removed", "已删除"),
    "is_closed": ("not found again", "未能重新识别"),
    "pin_fits_several": ("a pin fits several", "多人符合同一条命名"),
    "person_has_another_pin": ("has another pin already", "已被另一条命名使用"),
    "pin_belongs_to_another": ("the name is somebody else's", "名字属于他人"),
    # a file that cannot be used
    "file_title": ("The configuration cannot be used", "配置无法使用"),
    "file_text": (
        "The bridge does not run. Mend what is listed here; this page notices and makes way for the bridge.",
        "桥接程序没有运行。请修正以下问题;修正后本页面会自动让位给桥接程序。",
    ),
    "reload_title": ("The changed configuration cannot be used", "修改后的配置无法使用"),
    "reload_text": (
        "The bridge goes on with the settings of before. Mend the file and reload it (SIGHUP or request/reload).",
        "桥接程序继续使用原来的设置。请修正文件并重新加载(SIGHUP 或 request/reload)。",
    ),
}


class Say:
    """The sentences in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, word: str, **facts: object) -> str:
        """The sentence of that name, as text."""
        return self._of(word).format_map(facts)

    def html(self, word: str, **facts: str) -> Html:
        """The same as HTML, with elements among the facts."""
        escaped = {name: together([fact]) for name, fact in facts.items()}
        return Html(together([self._of(word)]).format_map(escaped))

    def _of(self, word: str) -> str:
        english, chinese = WORDS[word]
        return chinese if self.language == "zh" else english
