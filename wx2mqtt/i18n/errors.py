"""Chinese for what ends a command: errors of the program, and a command line that cannot be understood.

As in `i18n/settings.py` the English text is the key, with `{name}` where the code puts a fact in: the sentences are
made in many places and kept by exceptions, some by typer, and their Chinese is looked up where a person reads them
(`sentence_text`). The facts `advice` and `why` are sentences of their own. A test holds every error against these keys.
"""

from __future__ import annotations

from collections.abc import Mapping

USAGE_TEXTS: Mapping[str, str] = {
    # typer's own
    "Invalid value for '{option}': {advice}": "{option} 的值不对：{advice}",
    "Invalid value: {advice}": "{advice}",
    "Missing argument '{name}'.": "缺少参数 {name}",
    "Missing option '{name}'.": "缺少选项 {name}",
    "Missing command.": "缺少命令",
    "No such command '{name}'. Did you mean '{other}'?": "没有命令 {name}；是不是 {other}？",
    "No such command '{name}'.": "没有命令 {name}",
    "No such option: {name} (Possible options: {names})": "没有选项 {name}；相近的有：{names}",
    "No such option: {name}": "没有选项 {name}",
    "Option '{name}' requires an argument.": "选项 {name} 后面要有值",
    "Option '{name}' does not take a value.": "选项 {name} 后面不能有值",
    "Got unexpected extra argument ({arguments})": "多了一个参数：{arguments}",
    "Got unexpected extra arguments ({arguments})": "多了几个参数：{arguments}",
    "Value error, '{value}' is not one of {names}.": "没有“{value}”这个选择；可用的有：{names}",
    "Input should be less than or equal to {limit}": "最大为 {limit}",
    "Input should be greater than or equal to {limit}": "最小为 {limit}",
    "Input should be a valid integer, unable to parse string as an integer": "必须是整数",
    "Input should be a valid number, unable to parse string as a number": "必须是数字",
    # options of our own that do not go together
    "--json and --take-over go with --connect": "--json 和 --take-over 要与 --connect 一起使用",
    "--config goes with neither --once nor --backend": "--config 不能与 --once 或 --backend 一起使用",
    "--broker goes with neither --once nor --mqtt-port": "--broker 不能与 --once 或 --mqtt-port 一起使用",
    "without --broker the demo has an embedded broker": "不写 --broker 时，演示使用自带的 MQTT 服务器",
    "--bot-id needs --secret-file: they belong together": "--bot-id 要与 --secret-file 一起使用",
    "--secret-file needs --bot-id: they belong together": "--secret-file 要与 --bot-id 一起使用",
    "--bot-id, --secret-file and --userid need --backend wecom": (
        "--bot-id、--secret-file 和 --userid 只用于 --backend wecom"
    ),
    "give only one of --host and --embedded": "--host 和 --embedded 只能写一个",
    "--person needs the backend webwx: iLink knows its owner alone (--owner)": (
        "--person 只用于后端 webwx：iLink 上只有主人自己（--owner）"
    ),
    "--owner needs the backend ilink or wecom: on webwx name people by --person": (
        "--owner 只用于后端 ilink 或 wecom；在 webwx 上请用 --person 给人取名"
    ),
    "--remind and --renew need the backend ilink: web WeChat has no window": (
        "--remind 和 --renew 只用于后端 ilink：网页版微信没有时间窗口"
    ),
    "--password-file -: standard input is empty; pass the password through it": (
        "--password-file -：标准输入是空的；请从标准输入给出密码"
    ),
    "a row is a number; 'wx2mqtt journal list' shows it": "行号是数字；用 wx2mqtt journal list 查看",
    "'{pair}': write NAME=REMARK, such as --person wife=老婆": (
        "“{pair}”：请写成 主题名=备注，例如 --person wife=老婆"
    ),
    "'{pair}': {name} is given twice; keep one of the two": "“{pair}”：{name} 写了两次；请只留一个",
    "'{pair}': {advice}": "“{pair}”：{advice}",
    "--owner '{owner}': {advice}": "--owner “{owner}”：{advice}",
    "--host: '{host}' {advice}; the port goes into --port": "--host：“{host}”{advice}；端口写在 --port 中",
    "{option}: '{host}' {advice}": "{option}：“{host}”{advice}",
    "--ca-file: {advice}": "--ca-file：{advice}",
    "--password-file: {advice}": "--password-file：{advice}",
    "--secret-file: {advice}": "--secret-file：{advice}",
    "--fallback-file: {advice}": "--fallback-file：{advice}",
    "--broker {advice}": "--broker {advice}",
}

ERROR_TEXTS: Mapping[str, str] = {
    # the running bridge
    "No bridge runs on this store.": "没有桥接程序在使用这个存储",
    "There is no store at {folder} yet; start the bridge once.": "{folder} 还没有存储；请先启动一次桥接程序",
    "Aborted!": "已取消",
    "well": "正常",
    "no bridge runs: start it, then ask again": "桥接程序没有运行；请先启动，再提问",
    "no commands": "没有命令",
    "no people": "没有联系人",
    "no instances": "没有实例",
    "no accounts": "没有账号",
    "contacts: {count}": "联系人：{count}",
    "nobody has answered": "没有人回答",
    "the bridge does not report its health": "桥接程序没有给出健康状态",
    "The running bridge cannot be asked: {why}.": "无法联系正在运行的桥接程序：{why}",
    "The bridge's answer has more than {limit} bytes.": "桥接程序的应答超过 {limit} 字节",
    "The bridge's answer cannot be read: {why}.": "无法读懂桥接程序的应答：{why}",
    "The bridge went away before it answered; look what it did before you try again.": (
        "桥接程序没有应答就退出了；重试之前，请先看看它做了什么"
    ),
    "the bridge could not do it; its log says why": "桥接程序没能完成；原因见日志",
    "this bridge does not know '{name}'; is it another version?": "这个桥接程序不认识“{name}”；版本是不是不同？",
    "there is no account '{name}'; the configuration has {names}": "没有账号“{name}”；配置中有：{names}",
    # several machines
    "this bridge shares its accounts with no other one: storage.url is not set": (
        "这个桥接程序不与其他桥接程序共用账号：没有设置 storage.url"
    ),
    "no bridge runs on this machine": "本机没有运行桥接程序",
    "no instance runs the account {account} now; try again later": "现在没有实例运行账号 {account}；请稍后重试",
    "the account {account} moves; it was on {instance}: try again": (
        "账号 {account} 正在换实例，原来在 {instance}；请重试"
    ),
    "no other instance could take the accounts; start one first": "没有其他实例可以接手账号；请先启动一个",
    "The instance that runs the account does not answer.": "运行该账号的实例没有应答",
    "An instance with the name {name} uses this database already; set cluster.instance.": (
        "已有名为 {name} 的实例在使用这个数据库；请设置 cluster.instance"
    ),
    # the store
    "{path} is in use by process {process} ({command}); stop it first.": (
        "进程 {process}（{command}）正在使用 {path}；请先停止它"
    ),
    "{path} cannot be locked; set storage.path to a local disk.": "无法锁定 {path}；请把 storage.path 设在本地磁盘上",
    "{path} is on a file system without shared memory; set storage.path to a local disk.": (
        "{path} 所在的文件系统没有共享内存；请把 storage.path 设在本地磁盘上"
    ),
    "The store has version {version}, this wx2mqtt knows {newest}; install the newer one again.": (
        "存储的版本是 {version}，这个 wx2mqtt 只认识到 {newest}；请重新安装较新的版本"
    ),
    "The backup holds a store of version {version}, of wx2mqtt {program}, and this wx2mqtt knows {newest};"
    " install the newer one.": (
        "备份中存储的版本是 {version}（wx2mqtt {program}），这个 wx2mqtt 只认识到 {newest}；请安装较新的版本"
    ),
    "{name} has tables or indices that no store has.": "{name} 中有存储里不该有的表或索引",
    "{name} is damaged.": "{name} 已损坏",
    "{name} has rows that cannot be read.": "{name} 中有无法读取的行",
    "The database is in use by an instance of wx2mqtt; stop all of them first.": (
        "有 wx2mqtt 实例正在使用这个数据库；请先全部停止"
    ),
    "The database rolled a change back.": "数据库撤销了一次改动",
    "The store is closed.": "存储已关闭",
    "The topic level of person {person} belongs to person {other} already.": (
        "联系人 {person} 的主题名已属于联系人 {other}"
    ),
    "The saved logins in this database are encrypted with another key.": "这个数据库中的登录是用另一个密钥加密的",
    "There is no room left in the store.": "存储没有空间了",
    "{path} refused a change ({name}).": "{path} 拒绝了一次改动（{name}）",
    "{folder} cannot be created: {why}.": "无法创建 {folder}：{why}",
    "{folder} cannot be used: there is a loop of symbolic links; remove it.": (
        "无法使用 {folder}：符号链接形成了环；请去掉"
    ),
    "The database cannot be used: {why}.": "无法使用数据库：{why}",
    "it refused a statement ({name}, {code})": "数据库拒绝了一条语句（{name}，{code}）",
    "there is no room on the disk of the server": "服务器的磁盘没有空间了",
    "this user lacks a right; grant what the documentation lists": "该用户缺少权限；请按文档授予",
    "the server accepts no changes: it is a standby, or set to read-only": (
        "服务器不接受改动：它是备库，或者被设成了只读"
    ),
    "the server has ended the connection": "服务器结束了连接",
    "the connection is lost": "连接断开了",
    "{path} cannot be used: {why}.": "无法使用 {path}：{why}",
    "{path} belongs to user {user}, and the way to user {owner}: root works on a store of one user only; run the"
    " command as the user of the service, with sudo -u.": (
        "{path} 属于用户 {user}，而上级文件夹属于用户 {owner}：root 只能处理属于同一个用户的存储；"
        "请用 sudo -u 以服务的用户运行此命令"
    ),
    "user {user}, as whom the command goes on, may not enter {folders}, and root cannot arrange it here ({why}):"
    " install wx2mqtt where everybody may read it, such as /opt/wx2mqtt, or run the command as that user.": (
        "命令要以用户 {user} 继续，而该用户进不了 {folders}，root 在这里也没法处理（{why}）："
        "请把 wx2mqtt 安装到人人可读的地方，例如 /opt/wx2mqtt，或者以该用户运行此命令"
    ),
    # ports, files, the broker
    "port {port} on {host} may be opened by root only: choose one from 1024 on": (
        "{host} 的端口 {port} 只有 root 能打开；请换成 1024 或更大的端口"
    ),
    "port {port} on {host} is in use, perhaps by a broker: stop that, or use it (mqtt.url: {url})": (
        "{host} 的端口 {port} 已被占用，可能是另一个 MQTT 服务器；请停止它，或直接使用它（mqtt.url: {url}）"
    ),
    "{key}: port {port} on {host} may be opened by root only: choose one from 1024 on": (
        "{key}：{host} 的端口 {port} 只有 root 能打开；请换成 1024 或更大的端口"
    ),
    "{key}: port {port} on {host} is in use: choose another, or set web.enabled to false": (
        "{key}：{host} 的端口 {port} 已被占用；请换一个，或者把 web.enabled 设为 false"
    ),
    "{key}: port {port} on {host} cannot be had ({why}): choose another, or set web.enabled to false": (
        "{key}：无法使用 {host} 的端口 {port}（{why}）；请换一个，或者把 web.enabled 设为 false"
    ),
    "cannot listen on {address}: {why}; choose another --host or --port": (
        "无法监听 {address}：{why}；请换一个 --host 或 --port"
    ),
    "{folder}: {why}; give --tls a folder that can be written": "{folder}：{why}；请给 --tls 一个可以写入的文件夹",
    "{path} cannot be written: {why}; name another file with -c": "无法写入 {path}：{why}；请用 -c 指定另一个文件",
    "There is no connection to the broker.": "没有与 MQTT 服务器的连接",
    "the broker does not answer": "MQTT 服务器没有应答",
    "the broker does not acknowledge": "MQTT 服务器没有确认",
    "mosquitto does not accept connections": "mosquitto 不接受连接",
    # what the system says
    "there is no room on the disk; make room, or give storage.path a larger one": (
        "磁盘没有空间了；请腾出空间，或者把 storage.path 设在更大的磁盘上"
    ),
    "no file may grow so large; lift the limit of the process (ulimit -f, LimitFSIZE)": (
        "文件不能再增大；请放宽进程的限制（ulimit -f、LimitFSIZE）"
    ),
    "this user may not write there; correct the owner and the rights, or set storage.path": (
        "当前用户不能写入；请修正所有者和权限，或者设置 storage.path"
    ),
    "there is a file where a folder should be; set storage.path to a folder": (
        "这里应是文件夹，却有一个文件；请把 storage.path 设为文件夹"
    ),
    "the folder is read-only; mount it writable, or set storage.path to another one": (
        "文件夹是只读的；请以可写方式挂载，或者把 storage.path 设为另一个文件夹"
    ),
    "there is a symbolic link, or no regular file, where a file of the store should be; remove it": (
        "存储文件的位置上是符号链接，或者不是普通文件；请去掉"
    ),
    "the disk answered with an error; look into the system's log and check the disk": (
        "磁盘出错；请查看系统日志并检查磁盘"
    ),
    "another program holds the database; close it": "另一个程序占用着数据库；请关闭它",
    "it is damaged; the next start sets it aside and begins a new one": (
        "已损坏；下次启动会把它放到一边，并新建一个"
    ),
    "there is no memory left": "没有内存了",
    "Permission denied": "没有权限",
    "Operation not permitted": "不允许这样做",
    "No such file or directory": "没有这个文件或文件夹",
    "Not a directory": "不是文件夹",
    "Is a directory": "这是文件夹",
    "File exists": "文件已存在",
    "File name too long": "文件名太长",
    "No space left on device": "磁盘没有空间了",
    "Read-only file system": "文件系统是只读的",
    "Address already in use": "地址已被占用",
    "Cannot assign requested address": "本机没有这个地址",
    "Connection refused": "连接被拒绝",
    "Name or service not known": "没有这个主机名",
}

# The demo and the simulator.
DEMO_TEXTS: Mapping[str, str] = {
    "The demo was stopped before its end.": "演示还没有结束就被停止了",
    "A bridge uses the topics {base}/# of this broker: stop it, or give the demo another broker.": (
        "已有桥接程序在这个 MQTT 服务器上使用主题 {base}/#；请停止它，或者让演示使用另一个 MQTT 服务器"
    ),
    "The broker of --broker cannot be used: {why}": "无法使用 --broker 的 MQTT 服务器：{why}",
    "it does not answer": "没有应答",
    "The folder {path} of --keep cannot be made: {why}": "无法创建 --keep 的文件夹 {path}：{why}",
    "WeChat, simulated: {url}/sim is the phone (scan, confirm, read, write).": (
        "模拟的微信：{url}/sim 是手机（扫码、确认、收发消息）"
    ),
    "wx2mqtt: set accounts.<name>.endpoint to {url}": "wx2mqtt：请把 accounts.<name>.endpoint 设为 {url}",
    "It has no password: everybody who reaches this address can use it.": (
        "它没有密码：能访问这个地址的人都可以使用它。"
    ),
    "Another client, unmodified: let it trust {file}": "其他客户端（不用改）：让它信任 {file}",
    "(REQUESTS_CA_BUNDLE for Python's requests, NODE_EXTRA_CA_CERTS for node, SSL_CERT_FILE for Go),": (
        "（Python 的 requests 用 REQUESTS_CA_BUNDLE，node 用 NODE_EXTRA_CA_CERTS，Go 用 SSL_CERT_FILE），"
    ),
    "start this with --port 443, and put this line into /etc/hosts of its machine or container:": (
        "用 --port 443 启动本程序，并把下面这一行写入它所在机器或容器的 /etc/hosts："
    ),
    "The broker keeps these topics of the demo: {topics}": "MQTT 服务器上留下了演示的这些主题：{topics}",
    "The conversation did not finish within {seconds} s.": "对话没有在 {seconds} 秒内结束",
}
