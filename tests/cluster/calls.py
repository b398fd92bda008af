"""The simulated servers of many accounts in one process, and the record of their calls.

Each account has servers of its own, on a port of its own. The record is a file of JSON lines: a call begins, a call
ends, a connection is lost.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from tests.chaos.launcher import ChildProcess
from tests.cluster.evidence import Call
from tests.support.forks import CONTEXT
from wx2mqtt.simulator import server
from wx2mqtt.simulator.app import SimulatorApp
from wx2mqtt.simulator.http_messages import Receive, Request
from wx2mqtt.simulator.routes import Endpoint
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom import gateway
from wx2mqtt.simulator.wecom.commands import Call as GatewayCall


async def start_simulators(
    names: Sequence[str], seed: int, record: Path
) -> tuple[ChildProcess, dict[str, int]]:
    """Starts the servers of these accounts; returns their process and the port of each."""
    reader, writer = CONTEXT.Pipe(duplex=False)
    child = ChildProcess(CONTEXT.Process(target=_run, args=(tuple(names), seed, record, writer), daemon=True))
    writer.close()
    ports: dict[str, int] = await asyncio.to_thread(reader.recv)
    reader.close()
    return child, ports


def read_calls(record: Path) -> list[Call]:
    """Returns the calls in the order in which they began."""
    calls: dict[int, Call] = {}
    last_of_peer: dict[tuple[str, int], Call] = {}
    with record.open() as lines:
        for line in map(json.loads, lines):
            if "name" in line:
                machine, port = line["peer"]
                call = Call(account=line["account"], machine=machine, name=line["name"], began=line["at"])
                calls[line["n"]] = last_of_peer[machine, port] = call
            else:
                ended = calls.get(line["n"]) if "n" in line else last_of_peer.get(tuple(line["lost"]))
                if ended is not None:
                    ended.ended = min(ended.ended, line["at"])
    return [*calls.values()]


def _run(names: Sequence[str], seed: int, record: Path, writer: Connection) -> None:
    asyncio.run(_serve(names, seed, record, writer))


async def _serve(names: Sequence[str], seed: int, record: Path, writer: Connection) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with record.open("w", buffering=1) as file:
        recorder = _Recorder(file)
        recorder.install()
        async with AsyncExitStack() as stack:
            ports: dict[str, int] = {}
            for number, name in enumerate(names):
                simulator = Simulator(seed=seed + number)
                recorder.names[id(simulator.wechat)] = recorder.names[id(simulator.wechat.wecom)] = name
                await stack.enter_async_context(simulator)
                ports[name] = simulator.port
            writer.send(ports)
            writer.close()
            await stopped.wait()


class _Recorder:
    """Records the calls to the servers; `names` are the accounts by the ids of their simulated services."""

    def __init__(self, file: IO[str]) -> None:
        self.names: dict[int, str] = {}
        self._file = file
        self._numbers: Iterator[int] = iter(range(10**9))

    def _write(self, **fields: Any) -> None:
        self._file.write(json.dumps({"at": time.monotonic(), **fields}) + "\n")

    def install(self) -> None:
        recorder = self

        class RecordingApp(SimulatorApp):
            async def _call(self, endpoint: Endpoint, request: Request, receive: Receive) -> Any:
                number = next(recorder._numbers)
                peer = request.transport.get_extra_info("peername")
                name = recorder.names[id(self.wechat)]
                recorder._write(n=number, account=name, name=endpoint.name, peer=peer)
                try:
                    return await super()._call(endpoint, request, receive)
                finally:
                    recorder._write(n=number)

        class RecordingProtocol(server._Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                self._peer = transport.get_extra_info("peername")
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                recorder._write(lost=self._peer)
                super().connection_lost(exc)

        answer = gateway._answer

        async def recorded_answer(call: GatewayCall) -> None:
            number = next(recorder._numbers)
            peer = call.connection.transport.get_extra_info("peername")
            recorder._write(n=number, account=recorder.names[id(call.wecom)], name=call.name, peer=peer)
            try:
                await answer(call)
            finally:
                recorder._write(n=number)

        vars(gateway)["_answer"] = recorded_answer
        vars(server)["SimulatorApp"] = RecordingApp
        vars(server)["_Protocol"] = RecordingProtocol
