"""The page names `wx2mqtt setup` to somebody who runs the bridge without a configuration."""

from __future__ import annotations

from tests.support.rows import every_row
from wx2mqtt.cli.run import setup_command
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.registry import BACKENDS


@every_row(
    ("env", "expected"),
    [
        ({}, "wx2mqtt setup"),
        ({"WX2MQTT_LANGUAGE": "zh"}, "wx2mqtt setup"),
        ({"WX2MQTT_MQTT__URL": "mqtt://broker"}, ""),
        ({"WX2MQTT_ACCOUNTS__HOME__BACKEND": "ilink"}, ""),
        ({"WX2MQTT_ACCOUNTS__HOME__BACKEND": "webwx"}, ""),
        ({"WX2MQTT_ACCOUNTS__HOME__BACKEND": ""}, "wx2mqtt setup"),
    ],
)
def test_setup_is_named_where_nobody_chose_a_broker_or_a_backend(env, expected):
    assert setup_command(load(None, env, BACKENDS), env) == expected


def test_setup_is_not_named_where_there_is_a_file(tmp_path):
    (file := tmp_path / "wx2mqtt.yaml").write_text("mqtt: {url: embedded}\n")
    assert setup_command(load(file, {}, BACKENDS), {}) == ""
