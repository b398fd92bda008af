"""The messages of `check --connect`, in English and Chinese; programs use `check` and `verdict` instead."""

from __future__ import annotations

from functools import partial

from wx2mqtt.i18n import Catalogue, text
from wx2mqtt.i18n.owner import BOT_FINDINGS

DIAGNOSTICS_MESSAGES: Catalogue = {
    # the checks
    "check_name": ("host name", "主机名"),
    "check_tcp": ("connection", "连接"),
    "check_tls": ("TLS", "TLS"),
    "check_dates": ("certificate: dates", "证书：有效期"),
    "check_names": ("certificate: names", "证书：名称"),
    "check_authority": ("certificate: authority", "证书：颁发者"),
    "check_login": ("login", "登录"),
    "check_version": ("MQTT version", "MQTT 版本"),
    "check_qos": ("QoS", "QoS"),
    "check_in_flight": ("Receive Maximum", "Receive Maximum"),
    "check_packet": ("packet limit", "数据包上限"),
    "check_delay": ("delay", "延迟"),
    "check_rewriting": ("topics delivered unchanged", "主题保持原样"),
    "check_retained": ("retained messages", "保留消息"),
    "check_wildcard": ("retained, by wildcard", "保留消息（通配符）"),
    "check_session": ("session kept", "会话保留"),
    "check_publish": ("may publish", "发布权限"),
    "check_receive": ("may receive", "接收权限"),
    "check_wechat": ("WeChat", "微信"),
    "check_clock": ("clock", "时钟"),
    "check_database_version": ("PostgreSQL version", "PostgreSQL 版本"),
    "check_rights": ("rights", "权限"),
    "check_durability": ("durability", "持久性"),
    "check_key": ("key of saved logins", "已存登录的密钥"),
    "check_pooler": ("session locks", "会话锁"),
    # status and table
    "ok": ("ok", "正常"),
    "warning": ("warning", "注意"),
    "failed": ("failed", "失败"),
    "not_known": ("not known", "未知"),
    "column_check": ("what", "项目"),
    "column_subject": ("where", "对象"),
    "column_verdict": ("", ""),
    "column_found": ("found", "结果"),
    "result_line": ("{status}: {heading}: {finding}", "{status}：{heading}：{finding}"),
    "cure_line": ("→ {cure}", "→ {cure}"),
    "nothing_failed": ("nothing failed", "没有失败的项目"),
    "some_failed": ("failed: {count}", "失败 {count} 项"),
    # the database
    "database_unreachable": ("no connection: {why}", "无法连接：{why}"),
    "database_unreachable_cure": (
        "start the server, or correct storage.url and storage.password_file; psql with the same URL says the same",
        "请启动服务器，或更正 storage.url 和 storage.password_file；用同一个 URL 运行 psql，也是同样的结果",
    ),
    "database_unusable": ("cannot be used: {why}", "无法使用：{why}"),
    "database_unusable_cure": (
        "correct storage.url; if psycopg is missing, install deploy/postgresql.lock",
        "请更正 storage.url；缺 psycopg 的话，请安装 deploy/postgresql.lock",
    ),
    "database_version_ok": ("{version}", "{version}"),
    "database_too_old": ("{version} is too old", "{version} 太旧"),
    "database_too_old_cure": (
        "use PostgreSQL {oldest} to {newest}",
        "请使用 PostgreSQL {oldest} 至 {newest}",
    ),
    "database_untested": (
        "{version} is newer than the versions that were tested",
        "{version} 比测试过的版本更新",
    ),
    "database_untested_cure": (
        "{oldest} to {newest} were tested; see whether there is a newer wx2mqtt",
        "测试过 {oldest} 至 {newest}；请看看有没有更新的 wx2mqtt",
    ),
    "database_read_only": (
        "the server takes no changes: it is a standby, or read-only",
        "服务器不接受改动：它是备库，或者被设成了只读",
    ),
    "database_read_only_cure": (
        "name the primary; with several hosts in storage.url add target_session_attrs=read-write",
        "请指定主库；storage.url 中有多个主机时，加上 target_session_attrs=read-write",
    ),
    "database_rights_ok": ("the user {user} has what it needs", "用户 {user} 具有所需权限"),
    "database_rights_missing": (
        "the user {user} lacks {rights} in the schema {schema}",
        "用户 {user} 在模式 {schema} 中缺少 {rights}",
    ),
    "database_no_right_to_create": (
        "the user {user} may not create tables in the schema {schema}",
        "用户 {user} 不能在模式 {schema} 中建表",
    ),
    "database_no_right_to_create_cure": (
        "GRANT CREATE, USAGE ON SCHEMA {schema} TO {user};",
        "GRANT CREATE, USAGE ON SCHEMA {schema} TO {user};",
    ),
    "database_rights_missing_cure": (
        "GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {user};",
        "GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {user};",
    ),
    "database_key_none": (
        "the database has none yet; the first bridge stores what tells it",
        "数据库中还没有密钥；由第一个启动的桥接程序存入校验值",
    ),
    "database_key_ok": ("is that of the database", "与数据库的密钥一致"),
    "database_key_wrong": (
        "the saved logins in this database are encrypted with another key; an instance with this one takes no account",
        "这个数据库里的登录是用另一个密钥加密的；用这个密钥的实例不会接管任何账号",
    ),
    "database_key_wrong_cure": (
        "copy storage.key_file from an instance that runs; where the key is lost: wx2mqtt cluster rotate-key --forget-logins",
        "请从正在运行的实例复制 storage.key_file；密钥丢了的话：wx2mqtt cluster rotate-key --forget-logins",
    ),
    "database_delay_ok": ("answers within {ms} ms", "{ms} 毫秒内应答"),
    "database_slow": (
        "answers within {ms} ms, and each commit takes longer",
        "应答要 {ms} 毫秒，每次提交还要更久",
    ),
    "database_slow_cure": ("run the bridge near the database", "请把桥接程序放到离数据库近的地方"),
    "database_durable": ("commits are on the disk", "提交会写入磁盘"),
    "database_not_durable": (
        "a commit may be lost when the server crashes: synchronous_commit or fsync is off",
        "服务器崩溃时可能丢失已提交的数据：synchronous_commit 或 fsync 没有打开",
    ),
    "database_not_durable_cure": (
        "set synchronous_commit and fsync to on: else acknowledged messages and commands may be lost",
        "请把 synchronous_commit 和 fsync 设为 on，否则已确认的消息和命令可能会丢",
    ),
    "locks_hold": ("they hold", "有效"),
    "locks_hold_through_pooler": ("they hold, through a pooler", "有效（经过连接池）"),
    "locks_broken_by_pooler": (
        "they do not hold: a pooler shares sessions among clients (PgBouncer in transaction mode), so two instances could run one account",
        "不起作用：连接池让几个客户端共用一个会话（事务模式的 PgBouncer），两个实例可能同时运行一个账号",
    ),
    "locks_broken_by_pooler_cure": (
        "let storage.url lead to the server itself, or set pool_mode = session in the pooler",
        "请让 storage.url 直接指向服务器，或在连接池中设置 pool_mode = session",
    ),
    # name and connection
    "name_ok": ("resolves to {addresses}", "解析为 {addresses}"),
    "name_unknown": ("the name {host} cannot be resolved", "无法解析主机名 {host}"),
    "name_cure": (
        "correct the name, or check the name service (getent hosts {host})",
        "请改正主机名，或检查 DNS（getent hosts {host}）",
    ),
    "tcp_ok": ("established after {ms} ms", "{ms} 毫秒内建立"),
    "tcp_refused": ("no program listens there", "这个端口上没有程序在监听"),
    "tcp_refused_cure": (
        "start the broker, or correct host and port in mqtt.url; mosquitto listens beyond its own machine only with a 'listener' line",
        "请启动 MQTT 服务器，或改正 mqtt.url 里的主机和端口；mosquitto 要有 listener 行，别的机器才连得上",
    ),
    "tcp_embedded_not_running": (
        "no program listens yet: the embedded broker runs only while the bridge runs",
        "还没有程序在监听：自带的 MQTT 服务器随桥接程序一起运行",
    ),
    "tcp_embedded_not_running_cure": (
        "start the bridge (wx2mqtt run) and check again",
        "请启动桥接程序（wx2mqtt run）后再检查",
    ),
    "tcp_timeout": ("no answer", "没有应答"),
    "tcp_timeout_cure": (
        "is the machine on? Check for a firewall in between, and whether the address is right",
        "请确认机器已开启、地址正确，并检查中间的防火墙",
    ),
    "tcp_other": ("no connection: {why}", "无法连接：{why}"),
    # TLS
    "tls_ok": ("{version}", "{version}"),
    "tls_not_used": (
        "not used, and the broker is outside your own network: anybody on the way can read messages and password",
        "没有用 TLS，而 MQTT 服务器不在你自己的网络里：沿途都能看到消息和密码",
    ),
    "tls_not_used_cure": ("use mqtts or wss in mqtt.url", "请在 mqtt.url 中使用 mqtts 或 wss"),
    "tls_timeout": ("no answer to the TLS handshake", "对方没有回应"),
    "tls_timeout_cure": (
        "the port may not be a TLS port (usual: 8883); without TLS the URL begins with mqtt or ws",
        "可能不是 TLS 端口（通常为 8883）；不用 TLS 时地址以 mqtt 或 ws 开头",
    ),
    "tls_failed": ("no TLS connection: {why}", "无法建立 TLS 连接：{why}"),
    "tls_failed_cure": (
        "the port may not be a TLS port (usual: 8883), or the broker requires a client certificate (mqtt.tls.cert_file, key_file)",
        "可能不是 TLS 端口（通常为 8883），或者要求客户端证书（mqtt.tls.cert_file、key_file）",
    ),
    "dates_ok": ("valid until {ends}", "有效期至 {ends}"),
    "dates_expire_soon": ("valid only until {ends}", "有效期仅至 {ends}"),
    "dates_expired": ("expired on {ends}", "已于 {ends} 过期"),
    "dates_expired_cure": (
        "renew the broker's certificate and make the broker read it again (mosquitto: restart)",
        "请更新 MQTT 服务器的证书，并让它重新读取（mosquitto：重启）",
    ),
    "dates_not_yet": ("valid only from {begins} on", "要到 {begins} 才生效"),
    "dates_not_yet_cure": (
        "set this machine's clock; if it is right, the certificate is wrong",
        "请校准本机时钟；时钟没错的话，就是证书错了",
    ),
    "names_ok": ("issued for {host}", "适用于 {host}"),
    "names_do_not_match": ("issued for {names}, not for {host}", "证书上写的是 {names}，不是 {host}"),
    "names_do_not_match_cure": (
        "use one of its names in mqtt.url, or have a certificate issued for {host}",
        "请把 mqtt.url 改成证书上的名称，或者给 {host} 签发证书",
    ),
    "authority_ok": ("is trusted", "受信任"),
    "authority_self_signed": ("self-signed", "自签名"),
    "authority_unknown": ("signed by an authority that is not known here", "本机不信任签发机构"),
    "authority_other": ("not accepted: {why}", "证书无效：{why}"),
    "authority_cure": (
        "set mqtt.tls.ca_file to the certificate of the authority that signed it",
        "请在 mqtt.tls.ca_file 中指定签发机构的证书文件",
    ),
    # login, version, limits
    "login_ok": ("as {user}, after {ms} ms", "用户 {user}，{ms} 毫秒"),
    "login_anonymous": ("without a user name, after {ms} ms", "无需用户名，{ms} 毫秒"),
    "login_refused": ("user name or password are not accepted", "用户名或密码不对"),
    "login_needs_user": ("refused without a user name", "不给用户名就登录不了"),
    "login_refused_cure": (
        "check mqtt.username and mqtt.password_file; at the broker: mosquitto_passwd FILE USER, then reload it",
        "请检查 mqtt.username 和 mqtt.password_file；MQTT 服务器端：mosquitto_passwd 文件 用户，然后重新加载",
    ),
    "login_needs_user_cure": (
        "the broker requires a user: set mqtt.username and mqtt.password_file",
        "MQTT 服务器要求用户名：请设置 mqtt.username 和 mqtt.password_file",
    ),
    "login_client_id_cure": (
        "the broker accepts only client ids that it knows; allow {client}, or set mqtt.client_id",
        "MQTT 服务器只认登记过的客户端 id；请放行 {client}，或设置 mqtt.client_id",
    ),
    "login_banned_cure": (
        "the broker has banned this client or address; its log says why and for how long",
        "MQTT 服务器封了这个客户端或地址；原因和时长看它的日志",
    ),
    "login_other": ("{why}", "{why}"),
    "login_other_cure": (
        "look at the broker's log for this moment; is it an MQTT broker, and is this the right port?",
        "请看 MQTT 服务器这个时刻的日志；也请确认对方确实是 MQTT 服务器，端口也没填错",
    ),
    "version_ok": ("MQTT 5", "MQTT 5"),
    "version_only_3_1_1": (
        "only 3.1.1: messages do not expire at the broker, there are no response topics, and refusals are not reported",
        "只支持 3.1.1：消息在服务器上不会过期，没有响应主题，发布被拒绝时也得不到通知",
    ),
    "version_only_3_1_1_cure": (
        "use a broker that speaks MQTT 5, such as mosquitto 2",
        "请使用支持 MQTT 5 的 MQTT 服务器，例如 mosquitto 2",
    ),
    "version_must_be_5_cure": (
        "set mqtt.protocol to auto, or use a broker that speaks MQTT 5, such as mosquitto 2",
        "请将 mqtt.protocol 设为 auto，或使用支持 MQTT 5 的 MQTT 服务器，例如 mosquitto 2",
    ),
    "version_set_to_3_1_1": ("3.1.1, as mqtt.protocol says", "3.1.1（由 mqtt.protocol 指定）"),
    "version_set_to_3_1_1_cure": (
        "remove mqtt.protocol: with MQTT 5 messages expire and refusals are reported",
        "请去掉 mqtt.protocol：用 MQTT 5，消息会按时过期，发布被拒绝时也能得到通知",
    ),
    "qos_only_0": ("only QoS 0: delivery cannot be guaranteed", "只有 QoS 0：不能保证送到"),
    "qos_only_0_cure": ("use a broker that supports QoS 1", "请使用支持 QoS 1 的 MQTT 服务器"),
    "limit_not_reported": ("MQTT 3.1.1 does not report it", "MQTT 3.1.1 不提供"),
    "limit_not_reported_cure": (
        "see the broker's configuration (mosquitto: max_inflight_messages, max_packet_size)",
        "请看 MQTT 服务器的配置（mosquitto：max_inflight_messages、max_packet_size）",
    ),
    "in_flight_ok": ("{count} messages may be in flight", "可同时发送 {count} 条消息"),
    "in_flight_few": (
        "only {count} messages may be in flight, which is slow",
        "只能同时发送 {count} 条消息，速度较慢",
    ),
    "in_flight_cure": (
        "raise it (mosquitto: max_inflight_messages 20)",
        "请调大（mosquitto：max_inflight_messages 20）",
    ),
    "packet_unlimited": ("no limit reported", "未声明上限"),
    "packet_ok": ("{size} bytes", "{size} 字节"),
    "packet_small": (
        "{size} bytes: large messages are cut, and the contact directory is incomplete",
        "{size} 字节：较大的消息会被截断，通讯录也不完整",
    ),
    "packet_cure": ("raise it (mosquitto: max_packet_size)", "请调大（mosquitto：max_packet_size）"),
    # behaviour of the broker
    "delay_ok": ("acknowledged after {ms} ms", "{ms} 毫秒内确认"),
    "delay_slow": ("acknowledged only after {ms} ms", "{ms} 毫秒后才确认"),
    "delay_no_puback": ("a message was not acknowledged at all", "消息未得到确认"),
    "delay_cure": (
        "check how busy the broker and the network in between are",
        "请检查 MQTT 服务器和中间网络是否繁忙",
    ),
    "probe_not_returned": (
        "what is published below {topic} does not come back, so this cannot be tested",
        "发布到 {topic} 下面的消息收不到回传，无法测试",
    ),
    "probe_not_returned_cure": (
        "the bridge itself does not need this right; for the test, let its user read {topic}/wx2mqtt-probe/#",
        "桥接程序自己用不到这个权限；要测试的话，请让它的用户能读 {topic}/wx2mqtt-probe/#",
    ),
    "rewriting_ok": ("also with . and *", "含 . 和 * 的也一样"),
    "rewriting_changed_topic": ("{sent} was delivered as {came}", "发布到 {sent}，收到时变成了 {came}"),
    "rewriting_lost": ("{sent} did not come back", "{sent} 没有收到"),
    "rewriting_cure": (
        "RabbitMQ does this: use no . or * in base topics, and send files as commands with 'name' instead of on out/<user>/file/<name>",
        "RabbitMQ 会这样：主题前缀里不要用 . 或 *；发文件请在命令里写“name”，不要用 out/<user>/file/<name>",
    ),
    "retained_ok": ("kept and delivered", "已保留并送达"),
    "retained_unsupported": ("the broker does not support them", "MQTT 服务器不存保留消息"),
    "retained_rejected": ("not accepted: {why}", "被拒绝：{why}"),
    "retained_lost": ("accepted, but not delivered to later subscribers", "已接受，但后来的订阅者收不到"),
    "retained_cure": (
        "without them no client finds QR code, state and people; allow them (mosquitto: retain_available true)",
        "没有保留消息，客户端就拿不到二维码、状态和联系人；请打开（mosquitto：retain_available true）",
    ),
    "wildcard_ok": ("delivered", "已送达"),
    "wildcard_lost": (
        "not delivered to subscriptions with + or #",
        "订阅里带 + 或 # 就收不到",
    ),
    "wildcard_cure": (
        "RabbitMQ does this: subscribe to the exact topics; the bridge announces everything again when Home Assistant starts",
        "RabbitMQ 会这样：请订阅完整的主题；Home Assistant 启动时会再通知一遍",
    ),
    "retained_not_cleared": ("{topic} could not be cleared", "无法清除 {topic}"),
    "retained_not_cleared_cure": (
        "clear it: mosquitto_pub -r -n -t {topic}",
        "请清除：mosquitto_pub -r -n -t {topic}",
    ),
    "session_ok": ("with the messages that came meanwhile", "断线期间的消息也在"),
    "session_kept_untested": (
        "according to the broker; whether it keeps messages too cannot be tested without reading them",
        "MQTT 服务器说会话还在；消息在不在，不读取就没法测试",
    ),
    "session_dropped": (
        "the broker dropped it at once: commands that come while the bridge is away are lost",
        "MQTT 服务器不保留会话：桥接程序不在线期间的命令会丢失",
    ),
    "session_without_messages": (
        "the session is kept, but not the messages that came meanwhile: commands are lost while the bridge is away",
        "会话还在，但断线期间的消息没有保留：桥接程序不在线期间的命令会丢失",
    ),
    "session_short": ("only for {minutes} minutes", "只保留 {minutes} 分钟"),
    "session_cure": (
        "let the broker keep sessions (mosquitto: persistence true, autosave_interval 1)",
        "请让 MQTT 服务器保留会话（mosquitto：persistence true、autosave_interval 1）",
    ),
    "session_short_cure": (
        "raise it (mosquitto: persistent_client_expiration 14d)",
        "请调大（mosquitto：persistent_client_expiration 14d）",
    ),
    "connection_ended": ("the connection ended during this check: {why}", "测试到这一项时连接断开：{why}"),
    "connection_ended_cure": ("the broker's log says why", "原因见 MQTT 服务器日志"),
    # permissions
    "publish_returned": ("tested: the message came back", "已测试：收到回传"),
    "publish_ok": ("tested: accepted", "已测试：已接受"),
    "publish_done_by_bridge": ("the running bridge does it", "运行中的桥接程序可以"),
    "publish_refused": ("refused: {why}", "被拒绝：{why}"),
    "publish_refused_to_bridge": (
        "the broker refused it to the running bridge",
        "MQTT 服务器拒绝了运行中的桥接程序",
    ),
    "publish_cure": (
        "let the bridge's user write {rule} (mosquitto's acl_file: topic write {rule})",
        "请允许桥接程序的用户写 {rule}（mosquitto 的 acl_file：topic write {rule}）",
    ),
    "publish_refused_below": (
        "topics below it are refused ({why}); the topic itself cannot be tested without overwriting it",
        "下一级的主题被拒绝（{why}）；直接测试这个主题会覆盖它的内容，所以没有测",
    ),
    "publish_refused_below_cure": (
        "make sure that the bridge's user may write {rule}; or check again while the bridge runs, which knows it",
        "请确认桥接程序的用户能写 {rule}；或者在桥接程序运行时再检查一次，那时能查到",
    ),
    "publish_not_reported": (
        "MQTT 3.1.1 does not report it, and the message did not come back",
        "MQTT 3.1.1 不返回结果，也没有收到回传",
    ),
    "publish_not_reported_cure": (
        "make sure that the bridge's user may write {rule}, or use MQTT 5, which reports it",
        "请确认桥接程序的用户能写 {rule}，或者改用 MQTT 5，它会返回错误",
    ),
    "broker_does_not_answer": ("no answer from the broker", "MQTT 服务器没有应答"),
    "broker_does_not_answer_cure": (
        "the broker hangs; its log may say why (RabbitMQ: a classic queue whose node is gone)",
        "MQTT 服务器没反应；原因可能在它的日志里（RabbitMQ：经典队列所在的节点停了）",
    ),
    "broker_stopped_answering": ("not tested: the broker no longer answers", "未测试：MQTT 服务器不再应答"),
    "broker_stopped_answering_cure": ("fix what failed above first", "请先解决上面失败的项目"),
    "receive_ok": ("granted", "已授予"),
    "receive_done_by_bridge": ("commands have come in", "已收到过命令"),
    "receive_refused": ("refused: {why}", "被拒绝：{why}"),
    "receive_cure": (
        "let the bridge's user read {rule} (mosquitto's acl_file: topic read {rule})",
        "请允许桥接程序的用户读 {rule}（mosquitto 的 acl_file：topic read {rule}）",
    ),
    "receive_perhaps_filtered": (
        "granted, but this broker may grant every subscription and filter messages afterwards",
        "订阅成功，但这个 MQTT 服务器可能接受所有订阅，之后再过滤消息",
    ),
    "receive_perhaps_filtered_cure": (
        "make sure that the bridge's user may read {rule}: what is published to {trial} must be answered with a result",
        "请确认桥接程序的用户能读 {rule}；往 {trial} 发一条消息，应该有结果",
    ),
    # WeChat
    "host_ok": ("answers after {ms} ms", "{ms} 毫秒内应答"),
    "host_no_name": ("the name {host} cannot be resolved", "无法解析主机名 {host}"),
    "host_no_connection": ("accepts no connection", "无法连接"),
    "host_detail": (": {why}", "：{why}"),
    "host_certificate": ("its certificate is not accepted{why}", "证书无效{why}"),
    "host_no_tls": ("no TLS connection{why}", "无法建立 TLS 连接{why}"),
    "host_no_answer": ("no answer", "没有应答"),
    "host_broken_answer": ("its answer is not HTTP", "应答不是 HTTP"),
    "host_cure": (
        "the bridge needs the internet: check firewall, proxy (HTTPS_PROXY) and, if set, accounts.*.endpoint",
        "请确认可以访问外网：检查防火墙、代理（HTTPS_PROXY）以及 accounts.*.endpoint",
    ),
    "host_certificate_cure": (
        "set this machine's clock, and update its certificates (Debian: ca-certificates); for a proxy that decrypts TLS put its CA certificate into SSL_CERT_FILE",
        "请校准本机时钟、更新证书（Debian：ca-certificates）；如果经过会解密 TLS 的代理，要把代理的 CA 证书加到 SSL_CERT_FILE 里",
    ),
    "client_version": (
        "names version {version} of Tencent's client; where the phone asks for a newer one, set ilink.client_version",
        "使用腾讯客户端的版本号 {version}；如果手机要求更新的版本，请设置 ilink.client_version",
    ),
    "clock_ok": ("correct", "准确"),
    "clock_ahead": ("{seconds} s ahead of {host}", "比 {host} 快 {seconds} 秒"),
    "clock_behind": ("{seconds} s behind {host}", "比 {host} 慢 {seconds} 秒"),
    "clock_unknown": ("no host reported its time", "哪台主机都没给出时间"),
    "clock_cure": (
        "let the network set the clock (timedatectl set-ntp true)",
        "请打开网络校时（timedatectl set-ntp true）",
    ),
    **BOT_FINDINGS,
}


# Returns a sentence: `diagnostics_text(language, key, **facts)`.
diagnostics_text = partial(text, DIAGNOSTICS_MESSAGES)
