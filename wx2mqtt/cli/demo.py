"""The command `wx2mqtt demo`: its options, and what does not go together."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from wx2mqtt.app import logs
from wx2mqtt.cli.terminal import preferred_language
from wx2mqtt.settings.schema import FIRST_BACKEND

OnceOption = Annotated[
    bool, typer.Option("--once", help="Play a short conversation, print its messages and exit.")
]
SimulatorPortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of the simulated phone, else 8070; 0 finds a free port."),
]
MqttPortOption = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port of the broker, else 1883; 0 finds a free port.")
]
WebPortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of the bridge's web page, else 8099; 0 finds a free port."),
]
LanguageOption = Annotated[
    Literal["en", "zh"] | None,
    typer.Option(help="The language of messages for people, else that of the terminal."),
]
BackendOption = Annotated[
    Literal["ilink", "webwx", "wecom"] | None,
    typer.Option(help="iLink (the default): a bot of one's own; web WeChat; or a bot in WeCom."),
]
OwnFileOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="A configuration file of one's own. WeChat, the broker, the services of fallback, the"
        " addresses of the web server and the store are those of the demo.",
    ),
]
KeepOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Keep the store there, and what the broker keeps, for the next demo. The simulated WeChat"
        " forgets its logins: scan again.",
    ),
]
BrokerOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A broker that runs already, such as mqtt://name:password@192.168.1.10:1883, in place of the"
        " embedded one. Whoever may use it sees the demo and may write to it.",
    ),
]


def demo(  # noqa: PLR0913 - each is an option of the command line
    *,
    once: OnceOption = False,
    simulator_port: SimulatorPortOption = None,
    mqtt_port: MqttPortOption = None,
    web_port: WebPortOption = None,
    language: LanguageOption = None,
    backend: BackendOption = None,
    config: OwnFileOption = None,
    keep: KeepOption = None,
    broker: BrokerOption = None,
) -> None:
    """Try everything on this machine without an account: simulated WeChat, broker and bridge."""
    from wx2mqtt.demo.environment import DemoOptions, run_demo  # noqa: PLC0415
    from wx2mqtt.demo.explanation import broker_login  # noqa: PLC0415

    if broker is not None and (once or mqtt_port is not None):
        raise typer.BadParameter("--broker goes with neither --once nor --mqtt-port")
    if config is not None and (once or backend is not None):
        raise typer.BadParameter("--config goes with neither --once nor --backend")
    try:
        login = None if broker is None else broker_login(broker)
    except ValueError as error:
        raise typer.BadParameter(f"--broker {error}") from None
    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    asked = {"simulator_port": simulator_port, "mqtt_port": mqtt_port, "web_port": web_port}
    ports = {name: port for name, port in asked.items() if port is not None}
    options = DemoOptions(
        once=once,
        language=language or preferred_language(os.environ),
        phone_language=language or "",
        backend=backend or FIRST_BACKEND,
        broker=login,
        config=config,
        keep=keep,
        **((dict.fromkeys(asked, 0) if once else {}) | ports),
    )
    run_demo(options)
