"""Three nodes of RabbitMQ as one cluster with quorum queues, in a temporary folder and on ports of their own.

Nothing of the machine's own RabbitMQ is touched: the nodes have their own names, data, cookie and port mapper.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.postgresql import programs

NODES = 3
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's script in /usr/sbin changes the user and the folders; this one takes them from the environment."""
PORT_MAPPER = shutil.which("epmd")
STARTED = "Server startup complete"
POLL_SECONDS = 0.05
STOP_SECONDS = 20.0
START_ATTEMPTS = 3
PORT_TAKEN = "already_used"

CONFIG = """
listeners.tcp = none
mqtt.listeners.tcp.default = 127.0.0.1:{port}
mqtt.allow_anonymous = true
anonymous_login_user = guest
anonymous_login_pass = guest
mqtt.durable_queue_type = quorum
mqtt.max_session_expiry_interval_seconds = 604800
cluster_formation.peer_discovery_backend = classic_config
{nodes}
cluster_formation.discovery_retry_limit = 60
cluster_formation.discovery_retry_interval = 500
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 50MB
log.file.level = info
"""
RUNTIME_OPTIONS = "+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2"
"""The schedulers do not spin while they wait: three nodes share the processor with everything else."""


def missing_program() -> str:
    """Returns a sentence that names what is not installed; empty when nothing is missing."""
    packages = [] if SERVER.exists() and PORT_MAPPER is not None else ["rabbitmq-server"]
    packages += [] if programs() is not None else ["postgresql"]
    return f"not installed: apt-get install {' '.join(packages)}" if packages else ""


class BrokerNode:
    """One node. `port` is where it speaks MQTT; it stays the same over `kill`, `stop` and `start`."""

    def __init__(self, folder: Path, number: int, config: str, mapper_port: int) -> None:
        self.port = free_port()
        self.name = f"wx{number}@localhost"
        self._folder = folder / f"node{number}"
        self._folder.mkdir(parents=True)
        self._config = config
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")},
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "NOTIFY_SOCKET": str(
                self._folder / "notify"
            ),  # so that the script becomes the node, and has its id
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{RUNTIME_OPTIONS} -kernel inet_dist_use_interface {{127,0,0,1}}",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self._folder / "log" / f"{self.name}.log"

    def configure(self, nodes: str) -> None:
        text = self._config.format(port=self.port, nodes=nodes)
        (self._folder / "rabbitmq.conf").write_text(text)

    def launch(self) -> None:
        """Starts the process; `wait_until_started` waits for the rest."""
        assert not self.is_running
        self._starts += 1
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", SERVER],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._folder,
            )

    def wait_until_started(self) -> None:
        deadline = time.monotonic() + 2 * MAX_WAIT_SECONDS
        while self._count_starts() < self._starts:
            assert self._process is not None
            assert self._process.poll() is None, f"{self.name} ended: {self._end_of_output()}"
            assert time.monotonic() < deadline, f"{self.name} does not start: {self._end_of_output()}"
            time.sleep(POLL_SECONDS)

    def start(self) -> None:
        self.launch()
        self.wait_until_started()

    def kill(self) -> None:
        """SIGKILL; a node that was killed before it had started has one start fewer in its log."""
        self._end(signal.SIGKILL)
        self._starts = self._count_starts()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        self._process = None

    def _count_starts(self) -> int:
        return self.log.read_text(errors="replace").count(STARTED) if self.log.exists() else 0

    def _end_of_output(self) -> str:
        files = [self._folder / "output", self.log]
        return "\n".join(file.read_text(errors="replace")[-1500:] for file in files if file.exists())


class BrokerCluster:
    """The three nodes; `open` returns when all have started, `close` leaves no process."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[BrokerNode] = []
        self._folder = folder
        self._mapper: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Starts the nodes; with other ports when another program has taken one of theirs meanwhile."""
        for attempt in range(START_ATTEMPTS):
            self._prepare(self._folder / f"attempt{attempt}")
            try:
                for node in self.nodes:
                    node.launch()
                for node in self.nodes:
                    node.wait_until_started()
            except AssertionError as error:
                self.close()
                if PORT_TAKEN not in str(error):
                    raise
            else:
                return
        raise AssertionError("the ports of the nodes are taken again and again")

    def _prepare(self, folder: Path) -> None:
        assert PORT_MAPPER is not None
        folder.mkdir(parents=True)
        mapper_port = free_port()
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text("WX2MQTTTESTS")
        cookie.chmod(0o400)
        numbers = range(1, NODES + 1)
        self.nodes = [BrokerNode(folder, number, CONFIG, mapper_port) for number in numbers]
        lines = [
            f"cluster_formation.classic_config.nodes.{number} = {node.name}"
            for number, node in zip(numbers, self.nodes, strict=True)
        ]
        for node in self.nodes:
            node.configure("\n".join(lines))
        command = [PORT_MAPPER, "-port", str(mapper_port), "-address", "127.0.0.1"]
        self._mapper = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None
