"""Chinese for what is wrong with a configuration, and the look-up of sentences that errors keep in English.

The English text is the key, as it stands in the code, with `{name}` where the code puts a fact in. A test holds every
sentence of the settings against these keys. Sentences are made in many places and kept by problems, warnings and
exceptions; their Chinese is looked up where a person reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, partial

from wx2mqtt.errors import Problem
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.errors import DEMO_TEXTS, ERROR_TEXTS, USAGE_TEXTS

PROBLEM_TEXTS: Mapping[str, str] = {
    # any value
    "is missing": "缺少此项",
    "must be one text: neither empty nor a list nor a section": "必须是一段文字：不能为空，也不能是列表或一节",
    "must be a whole number": "必须是整数",
    "must be true or false": "必须是 true 或 false",
    "must be true or false, or a section such as {max_age: 60s}": "必须是 true 或 false，或写成一节，例如 {max_age: 60s}",
    "is shorter than 1s; write false to publish no bare text": "不到 1s；不发布纯文本请写 false",
    "must be a list: [a, b]": "必须是列表：[a, b]",
    "must be the path of a file or folder": "必须是文件或文件夹的路径",
    "must be a section: keys with values below it, or {key: value}": "必须是一节：下面写键和值，或写作 {key: value}",
    "must be a section: names with values below it, or {name: value}": "必须是一节：下面写名字和值，或写作 {name: value}",
    "must be at least {limit}": "至少为 {limit}",
    "must be at most {limit}": "最多为 {limit}",
    "must have at least {limit} entry": "至少要有 {limit} 项",
    "cannot be used: {why}": "无法使用：{why}",
    "unknown key; known here: {names}": "未知的键；此处可用的有：{names}",
    "unknown key, did you mean '{names}'?": "未知的键，是否想写“{names}”？",
    "has no value; write [] for none, or remove the key for the default": "没有值；没有内容请写 []，或去掉此键以使用默认值",
    "has no value; give one, or remove the key for the default": "没有值；请写一个，或去掉此键以使用默认值",
    'YAML reads {value} as a truth value and a text belongs here; write "{value}" in quotes if it is meant': (
        'YAML 把 {value} 读作真假值，而此处应是文字；如果就是这段文字，请加引号写作 "{value}"'
    ),
    "is not a whole number (plain decimal digits, no leading zero)": "不是整数（只用十进制数字，开头不能是 0）",
    "must have 1 to {limit} printable characters": "必须是 1 到 {limit} 个可打印的字符",
    "is a number that WeChat gives; write its digits": "是微信给出的数字；请写出各位数字",
    "is empty; write a text, or leave the key out": "是空的；请写文字，或去掉此键",
    "is empty; write a path, or leave the key out": "是空的；请写路径，或去掉此键",
    "holds control characters; take them out": "含有控制字符；请去掉",
    "holds half a character (a surrogate); write the whole one": "含有半个字符（代理项）；请写完整的字符",
    # senders
    "is shorter than {limit} characters; make one with: openssl rand -hex 32": "少于 {limit} 个字符；请生成一个：openssl rand -hex 32",
    "must be printable ASCII, as it goes into a header; make one: openssl rand -hex 32": (
        "必须是可打印的 ASCII 字符，因为它要写进请求头；请生成一个：openssl rand -hex 32"
    ),
    "must be 1 to 32 characters of a-z, 0-9, _ and -": "必须是 1 到 32 个字符，可用 a-z、0-9、_ 和 -",
    "has no effect: web.enabled is false, so nothing is served": "不起作用：web.enabled 为 false，不提供任何服务",
    "is the name of another sender, too; choose another": "与另一个发送方同名；请换一个",
    "needs token_file: (umask 077; openssl rand -hex 32 > FILE) makes one": (
        "需要 token_file：可用 (umask 077; openssl rand -hex 32 > FILE) 生成"
    ),
    "is a secret that stands elsewhere in this configuration, too; make one of its own": (
        "与此配置中的另一个密码相同；请为它单独生成一个"
    ),
    "may send to nobody: give to, users, or both": "不能发给任何人：请写 to、users 或两者",
    "needs web.senders: without them it would serve nobody": "需要 web.senders：没有发送方，开了也没有用",
    "is the address of web.{name} already; choose another port": "已是 web.{name} 的地址；请换一个端口",
    "are not served to Home Assistant's Ingress: give them an address with web.senders_listen": (
        "不通过 Home Assistant 的 Ingress 提供：请用 web.senders_listen 指定地址"
    ),
    "others can reach this address, and the tokens of web.senders cross the network unencrypted: put a reverse"
    " proxy with TLS before it and name it in web.trusted_proxies": (
        "别人能访问这个地址，而 web.senders 的令牌是明文传输的：请在前面加一层启用 TLS 的反向代理，并写入 web.trusted_proxies"
    ),
    "this is a list of sections: write [{key: value}]": "这是一个列表，每项是一节：请写作 [{key: value}]",
    # accounts, names, topics
    "an account's name has 1 to 32 characters of a-z, 0-9 and _": "账号名为 1 到 32 个字符，可用 a-z、0-9 和 _",
    "'{name}' is the name of a topic and cannot be an account; choose another": "“{name}”是主题的名字，不能作为账号；请换一个",
    "the name is empty": "名字是空的",
    "filehelper belongs to WeChat's file helper; choose another name": "filehelper 属于文件传输助手；请换一个名字",
    "a topic level cannot hold white space or control characters; write '{name}'": (
        "主题的一级不能含空白或控制字符；请写“{name}”"
    ),
    "a topic level cannot hold {signs}; write '{name}'": "主题的一级不能含 {signs}；请写“{name}”",
    "write it in composed form (Unicode NFC)": "请以组合形式书写（Unicode NFC）",
    "is longer than {limit} bytes of UTF-8": "超过 {limit} 字节（UTF-8）",
    "is empty; leave the key out for the default": "是空的；去掉此键则使用默认值",
    "topics that begin with $ belong to the broker; choose another": "以 $ 开头的主题属于 MQTT 服务器；请换一个",
    "holds a wildcard (+ or #); a topic for publishing must be concrete": "含有通配符（+ 或 #）；用于发布的主题必须是具体的",
    "has an empty level; remove the / at the start or at the end, or one of two in a row": (
        "有空的一级；请去掉开头或结尾的 /，或连续两个中的一个"
    ),
    "is empty; write # for every topic, or an empty list [] for none": "是空的；所有主题请写 #，没有请写空列表 []",
    "matches nothing: no response may go to a topic that begins with $": "不匹配任何主题：响应不能发往以 $ 开头的主题",
    "has a # that is not its last level; it stands alone after the last /": "其中的 # 不是最后一级；它只能单独位于最后一个 / 之后",
    "has a + beside other characters; it is a whole level": "其中的 + 旁边有其他字符；它必须单独为一级",
    "'{base}' meets the topics of account {other} ('{other_base}'); choose another": (
        "“{base}”与账号 {other} 的主题（“{other_base}”）重叠；请换一个"
    ),
    "lies inside homeassistant.prefix ('{prefix}'); choose another": "位于 homeassistant.prefix（“{prefix}”）之内；请换一个",
    "needs exactly one of {names}; it has {count}": "恰好需要 {names} 中的一个；现有 {count} 个",
    "names the same {kind} as '{name}'; keep one of the two": "与“{name}”的 {kind} 相同；请只保留一个",
    "webwx tells no {kind}: nobody will match": "webwx 不提供 {kind}：谁都匹配不上",
    "WeCom tells no {kind}; write wecom: <userid or chatid>, or owner: true": "企业微信不提供 {kind}；请写 wecom: <userid 或 chatid>，或 owner: true",
    "bot_id and secret belong together: give both, or none to make a bot by a scan": "bot_id 和 secret 必须同时给出；都不写则通过扫码创建机器人",
    "iLink tells no {kind}; write owner: true, or ilink: <id>": "iLink 不提供 {kind}；请写 owner: true 或 ilink: <id>",
    "{backend} does not tell it, so everybody would be refused; take it away": "{backend} 不提供这一项，所有人都会被拒绝；请去掉",
    "has no effect: only {names} has a window": "没有作用：只有 {names} 有窗口",
    "has no effect: the backend is {backend}": "没有作用：后端为 {backend}",
    "has no effect without accounts or urls: an urgent command has no other way": "没有 accounts 或 urls 就没有作用：紧急命令没有备用通道可走",
    "write the account and who it is there, as account/user, such as office/zhangsan": (
        "请写明账号和其中的用户，形式为 账号/用户，例如 office/zhangsan"
    ),
    "is this account itself; name a user of another one": "就是这个账号本身；请写另一个账号的用户",
    "names the same one twice; remove one": "同一个写了两次；请去掉一个",
    "is less than the {count} accounts that fallback.accounts joins, which only run together": (
        "少于 fallback.accounts 所连接的 {count} 个账号，它们只能一起运行"
    ),
    "these need apprise, which is not installed: {command}": "需要 apprise，但没有安装：{command}",
    "comes from the package {package}, which cannot be used ({why}); update or remove it": (
        "来自软件包 {package}，但无法使用（{why}）；请更新或卸载它"
    ),
    "has no effect: {backend} has a section of its own": "没有作用：{backend} 有单独的一节",
    "is no option; write it as name=value": "不是选项；请写作 名称=值",
    "is no option of {backend}; it has {names}": "不是 {backend} 的选项；可用的有：{names}",
    "client_version and extspam belong together: give both or none": "client_version 和 extspam 要一起使用：都写或都不写",
    "urgent commands are given, but there is no other way; name apprise URLs or another account": (
        "有紧急命令，但没有设置备用通道；请写明 apprise 网址或另一个账号"
    ),
    "is not a version; write three numbers, such as 2.4.9": "不是版本号；请写三个数，例如 2.4.9",
    "has a number above 255; WeChat has no such version": "其中有大于 255 的数；微信没有这样的版本",
    # sizes and durations
    "is not a size such as 25MB, 256kB or 1GiB (or a number of bytes)": "不是 25MB、256kB 或 1GiB 这样的大小（或字节数）",
    "is not a duration such as 30s, 10m, 24h or 7d (or a number of seconds)": "不是 30s、10m、24h 或 7d 这样的时长（或秒数）",
    "'{unit}' is no unit of size; use {names}": "“{unit}”不是大小的单位；可用 {names}",
    "'{unit}' is no unit of time; use {names}": "“{unit}”不是时间的单位；可用 {names}",
    "is larger than any disk": "比任何磁盘都大",
    "can be read in two ways: write 10m for ten minutes, 10h for ten hours": "有两种读法：十分钟请写 10m，十小时请写 10h",
    "is longer than a hundred years": "超过一百年",
    'is no span of the day; write "22:00-07:00"': '不是一天中的时段；请写 "22:00-07:00"',
    # addresses
    "has no scheme; write mqtt://host:1883 (or mqtts, ws, wss, unix, or embedded)": (
        "没有写明协议；请写 mqtt://host:1883（或 mqtts、ws、wss、unix，或 embedded）"
    ),
    "the scheme must be one of {names}, or the whole word embedded": "协议必须是 {names} 之一，或整个写作 embedded",
    "user name and password do not belong into the URL; put them into mqtt.username and mqtt.password_file": (
        "用户名和密码不写在网址中；请写入 mqtt.username 和 mqtt.password_file"
    ),
    "mqtt and mqtts have no path; for MQTT over WebSocket write ws or wss": "mqtt 和 mqtts 没有路径；MQTT over WebSocket 请写 ws 或 wss",
    "must begin with http:// or https://": "必须以 http:// 或 https:// 开头",
    "user name and password do not belong into this URL; remove them": "用户名和密码不写在这个网址中；请去掉",
    "must end with its path: remove ? or # and what follows": "必须以路径结尾：请去掉 ? 或 # 及其后的内容",
    "is no host name; write the name alone, without http:// and port": "不是主机名；请只写名字，不含 http:// 和端口",
    "is no address and no network such as 192.168.1.0/24 (host bits zero)": (
        "不是地址，也不是 192.168.1.0/24 这样的网络（主机位为零）"
    ),
    "is no IP address such as 172.30.32.2": "不是 172.30.32.2 这样的 IP 地址",
    "must be an address and a port, such as 127.0.0.1:8099 or [::1]:8099": "必须是地址和端口，例如 127.0.0.1:8099 或 [::1]:8099",
    "a port is a number up to 65535": "端口是不超过 65535 的数字",
    "must be a path that begins with one /, such as / or /wechat": "必须是以一个 / 开头的路径，例如 / 或 /wechat",
    "holds white space or control characters": "含有空白或控制字符",
    "is no URL; write an IPv6 address in [ ]": "不是网址；IPv6 地址请写在 [ ] 中",
    "the port must be a number from 1 to 65535": "端口必须是 1 到 65535 的数字",
    "has no host": "没有主机",
    "the host is no valid name or address": "主机不是有效的名字或地址",
    "write the absolute path of the socket: unix:///run/mosquitto/mosquitto.sock": (
        "请写套接字的绝对路径：unix:///run/mosquitto/mosquitto.sock"
    ),
    # broker, page, Home Assistant
    "embedded cannot be one of several: it is no broker of a cluster": "embedded 只能单独写：它不是集群里的 MQTT 服务器",
    "names the same broker twice; remove one": "同一个 MQTT 服务器写了两次；请去掉一个",
    "a password needs mqtt.username: MQTT 3.1.1 sends none without it": "有密码就必须有 mqtt.username：没有用户名，MQTT 3.1.1 不发送密码",
    "has no effect: the embedded broker needs no login": "没有作用：内嵌的 MQTT 服务器不需要登录",
    "needs {name} beside it: a certificate and its key belong together": "还需要 {name}：证书和密钥要一起使用",
    "has no effect: no mqtt.url is mqtts or wss": "没有作用：mqtt.url 中没有 mqtts 或 wss",
    "others can reach this address, so it needs web.password_file (or listen on 127.0.0.1)": (
        "其他人可以访问这个地址，所以需要 web.password_file（或在 127.0.0.1 上监听）"
    ),
    "has no effect: without web.password_file nobody is asked for it": "没有作用：没有设 web.password_file，用不到它",
    "is {base}, and web.url leads to {path}; unless your proxy sends X-Forwarded-Prefix, write {path}": (
        "是 {base}，而 web.url 指向 {path}；除非你的代理发送 X-Forwarded-Prefix，否则请写 {path}"
    ),
    "names nobody: there is no account '{name}', only {names}": "找不到这个人：没有账号“{name}”，只有 {names}",
    "is ambiguous: write it with its account, such as {name}; until then each account exposes its own": (
        "不明确：请连同账号一起写，例如 {name}；在此之前，每个账号启用各自的"
    ),
    # the database and its instances
    "must begin with postgresql://, as in postgresql://wx2mqtt@db.example.com/wx2mqtt": (
        "必须以 postgresql:// 开头，例如 postgresql://wx2mqtt@db.example.com/wx2mqtt"
    ),
    "holds white space, control characters or #": "含有空白、控制字符或 #",
    "the password does not belong into the URL; put it into storage.password_file": (
        "密码不要写在网址中；请写入 storage.password_file"
    ),
    "needs psycopg, which is not installed: {command}": "需要 psycopg，但没有安装：{command}",
    "needs storage.key_file: logins are encrypted in the database; make a key once with (umask 077; "
    "wx2mqtt cluster new-key > storage.key), and give the same one to every instance": (
        "需要 storage.key_file：数据库中的登录信息是加密的；请用 (umask 077; wx2mqtt cluster new-key > storage.key) "
        "生成一次密钥，并让所有实例使用同一个"
    ),
    "is no key, which is base64 on one line; {advice}": "不是密钥；密钥是一行 base64；{advice}",
    "has more than two lines: write the new key, and on the next line the one before it": (
        "超过两行：请写新密钥，下一行写之前的密钥"
    ),
    "has the same key twice; write the new key, and on the next line the one before it": (
        "两行是同一个密钥；请写新密钥，下一行写之前的密钥"
    ),
    "the saved logins in this database are encrypted with another key; copy storage.key_file from an instance that "
    "runs": "此数据库中所存的登录是用另一个密钥加密的；请从正在运行的实例复制 storage.key_file",
    "has {count} bytes, and a key has {limit}; {advice}": "有 {count} 字节，而密钥应有 {limit} 字节；{advice}",
    "make one with: wx2mqtt cluster new-key": "请这样生成：wx2mqtt cluster new-key",
    "its lock in the database is that of account {other}, by chance; give one another name": (
        "它在数据库中的锁恰好与账号 {other} 的相同；请给其中一个换个名称"
    ),
    "has no effect without storage.url": "没有 storage.url 时不起作用",
    "has no effect without storage.url: only a database is shared by several instances": (
        "没有 storage.url 时不起作用：只有数据库可由多个实例共用"
    ),
    "must have 1 to 64 characters of A-Z, a-z, 0-9, dot, _ and -": "必须是 1 到 64 个字符，可用 A-Z、a-z、0-9、点、_ 和 -",
    # the environment
    "this is a section: write {key: value, …}, or name the key (…__KEY)": "这是一节：请写 {key: value, …}，或写明键（…__KEY）",
    "no key of the configuration has this name; remove it": "配置中没有这个名字的键；请去掉",
    "no key of the configuration has this name; did you mean {names}?": "配置中没有这个名字的键；是否想写 {names}？",
    "the name has bytes that are not UTF-8, and no key has such a name; remove it": (
        "名字中有不是 UTF-8 的字节，没有这样名字的键；请去掉"
    ),
    # files
    "there is no such file; name another with -c": "没有这个文件；请用 -c 指定另一个",
    "there is no file {file}; create it, or correct the path": "没有文件 {file}；请创建它，或更正路径",
    "{file} may not be read by user {user}; change its owner or mode (under systemd, hand secrets over with LoadCredential)": (
        "用户 {user} 不能读取 {file}；请更改其所有者或权限（在 systemd 下用 LoadCredential 交给它）"
    ),
    "{file} cannot be read: {why}; correct the path": "无法读取 {file}：{why}；请更正路径",
    "{file} cannot be the name of a file; correct the path": "{file} 不能是文件的名字；请更正路径",
    "{file} is a folder; name the file in it": "{file} 是文件夹；请写明其中的文件",
    "{file} is no regular file; write the content into one": "{file} 不是普通文件；请把内容写入普通文件",
    "{file} is larger than {limit} bytes; is it the right file?": "{file} 大于 {limit} 字节；是正确的文件吗？",
    "{file} is not UTF-8 (line {line}); save it as UTF-8": "{file} 不是 UTF-8（第 {line} 行）；请以 UTF-8 保存",
    "{file} is empty; write one URL a line into it": "{file} 是空的；请每行写一个网址",
    "{file} is empty; write the secret into it": "{file} 是空的；请写入机密",
    "is given here and in {name}; remove one of the two": "此处和 {name} 都写了；请去掉一个",
    "every user of this machine may read {file}: chmod o-r {quoted}": "本机的每个用户都可以读取 {file}：chmod o-r {quoted}",
    "is a secret, and every user of this machine may read {file}: chmod o-r {quoted}": (
        "是机密，而本机的每个用户都可以读取 {file}：chmod o-r {quoted}"
    ),
    # YAML
    "holds a character that YAML forbids (number {number}); remove it": "含有 YAML 禁止的字符（编号 {number}）；请去掉",
    "is nested deeper than {limit} levels": "嵌套超过 {limit} 层",
    "must hold keys and values, such as `mqtt:` and below it `  url: …`": "必须含有键和值，例如 `mqtt:`，其下为 `  url: …`",
    "holds more than {limit} values, or aliases that hold themselves": "超过 {limit} 个值，或有包含自身的别名",
    "YAML tags (!name) are not used here; a text that begins with ! needs quotes": "此处不用 YAML 标签（!name）；以 ! 开头的文字需要引号",
    "a key must be a plain text": "键必须是普通文字",
    "is there twice; it was set in line {line} already": "出现了两次；第 {line} 行已经设置过",
    "<< merges a mapping that has an anchor: <<: *name": "<< 合并带有锚点的映射：<<: *name",
    "merges over {limit} mappings into each other, or one into itself": "互相合并的映射超过 {limit} 个，或合并了自身",
    "is no YAML: {why}; {advice}": "不是有效的 YAML；{advice}",
    "indent with spaces, never with tabs": "请用空格缩进，不要用制表符",
    "a text that holds ': ' needs quotes, or the line is indented wrongly": "含有 ': ' 的文字需要引号，或者这一行缩进有误",
    "a text that begins with * needs quotes": "以 * 开头的文字需要引号",
    "a text that begins with & needs quotes": "以 & 开头的文字需要引号",
    "a text that begins with @, ` or % needs quotes": "以 @、` 或 % 开头的文字需要引号",
    "the file must hold one document; remove the second ---": "文件只能有一个文档；请去掉第二个 ---",
    "a key needs ': ' and a value; a text over several lines needs quotes": "键需要 ': ' 和值；多行的文字需要引号",
    "the indentation of this line fits nothing above it": "这一行的缩进与上面的都不一致",
    "a quote is opened and not closed": "引号没有闭合",
    "a [ or { is opened and not closed, or a comma is missing": "[ 或 { 没有闭合，或缺少逗号",
    "look at this line and the one above it": "请查看这一行和上一行",
    # the most general one last: any sentence above that begins like it is meant before it
    "must be {names}, did you mean '{name}'?": "必须是 {names}，是否想写“{name}”？",
    "must be {names}": "必须是 {names}",
}

# What stands in the place of a file or a key.
_SOURCES: Mapping[str, str] = {"environment": "环境变量", "credential": "systemd 凭据", "file": "文件"}

_FACT = re.compile(r"\{(\w+)\}")
_SENTENCE_FACTS = {"advice", "why"}
_SHOWN_VALUE = re.compile(r"'([^']*)' (.+)", re.DOTALL)


def problem_text(problem: Problem, language: Language) -> str:
    """Returns position, key and sentence of a problem on one line."""
    if language == "en":
        return str(problem)
    where = f"{problem.file}:{problem.line}" if problem.line else _SOURCES.get(problem.file, problem.file)
    key = _SOURCES.get(problem.key, problem.key)
    return f"{where}：{key}：{chinese_sentence(problem.message)}"


def sentence_text(english: str, language: Language) -> str:
    """Returns a sentence about a value, or that of an error, in a language."""
    return chinese_sentence(english) if language == "zh" else english


def chinese_sentence(english: str) -> str:
    """Returns the Chinese of a sentence; the English one where it is none of these."""
    for parts, chinese in _templates():
        if (facts := _facts_of(english, parts)) is not None:
            return _FACT.sub(partial(_chinese_fact, facts), chinese)
    if shown := _SHOWN_VALUE.fullmatch(english):  # the value stands before the sentence
        return f"“{shown[1]}”{chinese_sentence(shown[2])}"
    return english


@cache
def _templates() -> list[tuple[list[str], str]]:
    """Returns each English sentence as its literal parts with the names of facts between them."""
    texts = {**PROBLEM_TEXTS, **USAGE_TEXTS, **ERROR_TEXTS, **DEMO_TEXTS}
    return [(_FACT.split(english), chinese) for english, chinese in texts.items()]


def _facts_of(english: str, parts: Sequence[str]) -> dict[str, str] | None:
    """Returns the facts of a sentence; None if it is another one. A fact in quotes has no quote itself."""
    literals, names = parts[::2], parts[1::2]
    position = len(literals[0])
    if not english.startswith(literals[0]) or not english.endswith(literals[-1]):
        return None
    facts: dict[str, str] = {}
    for index, name in enumerate(names, 1):
        literal = literals[index]
        is_last = index == len(names)
        end = len(english) - len(literal) if is_last else english.find(literal, position)
        fact = english[position:end] if end > position else ""
        is_quote_inside = literals[index - 1].endswith("'") and "'" in fact
        if not fact or is_quote_inside or facts.setdefault(name, fact) != fact:
            return None
        position = end + len(literal)
    return facts if position == len(english) else None


def _chinese_fact(facts: Mapping[str, str], name: re.Match[str]) -> str:
    fact = facts[name[1]]
    if name[1] == "names":
        return fact.replace("' or '", "”或“").replace(" or ", " 或 ").replace(", ", "、")
    return chinese_sentence(fact) if name[1] in _SENTENCE_FACTS else fact
