"""The client over every kind of URL: TLS with and without a client certificate, WebSocket, unix sockets."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve

from tests.scenarios.conftest import StartMosquitto
from tests.support.broker import Mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.mqtt_client import message, running_client
from wx2mqtt.mqtt.options import TlsFiles


@dataclass
class Certificates:
    """Writes the files of an authority, of a broker's certificate for these names, and of a client's."""

    folder: Path
    names: tuple[str, ...] = ("localhost", "127.0.0.1")

    def __post_init__(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca))
        broker = authority.issue_cert(*self.names)
        broker.private_key_pem.write_to_path(str(self.folder / "broker.key"))
        broker.cert_chain_pems[0].write_to_path(str(self.folder / "broker.pem"))
        client = authority.issue_cert("bridge@example.org", common_name="bridge")
        client.private_key_pem.write_to_path(str(self.client_key))
        client.cert_chain_pems[0].write_to_path(str(self.client))

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def client(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"

    @property
    def server_context(self) -> ssl.SSLContext:
        """The TLS settings of a test's server. The session tickets of TLS 1.3, unread, would reset the
        connection at its end.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.folder / "broker.pem", self.folder / "broker.key")
        return context

    @property
    def listener(self) -> str:
        """The lines of mosquitto's configuration for a listener with TLS."""
        return (
            "listener {port} 127.0.0.1\nallow_anonymous true\n"
            f"cafile {self.ca}\ncertfile {self.folder}/broker.pem\nkeyfile {self.folder}/broker.key\n"
        )


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def exchange_messages(url: str, **more) -> None:
    """Sends large and small messages in both directions."""
    picture = bytes(range(256)) * 2000
    async with (
        running_client(url, client_id="reader", filters=("wx/in/#",), **more) as reader,
        running_client(url, client_id="writer", filters=(), **more) as writer,
    ):
        assert (await reader.connection()).url.startswith(url.partition("?")[0])
        await writer.connection()
        for payload in (b"small", picture, b"small again"):
            assert await writer.published(message(payload=payload)) is None
            delivery = await reader.delivery()
            assert delivery.payload == payload
            reader.client.acknowledge(delivery)
        answers = [writer.publish(message(payload=b"%d" % n)) for n in range(15)]
        assert await asyncio.wait_for(asyncio.gather(*answers), MAX_WAIT_SECONDS) == [None] * 15
        assert [(await reader.delivery()).payload for _ in range(15)] == [b"%d" % n for n in range(15)]
    assert (reader.client.connect_count, writer.client.connect_count) == (1, 1)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_tls_with_an_authority_of_its_own(start_mosquitto: StartMosquitto, certificates, host):
    broker = start_mosquitto(certificates.listener, listener=False)
    await exchange_messages(f"mqtts://{host}:{broker.port}", tls=TlsFiles(ca_file=certificates.ca))


async def test_tls_with_a_client_certificate(start_mosquitto: StartMosquitto, certificates):
    broker = start_mosquitto(certificates.listener + "require_certificate true\n", listener=False)
    url = f"mqtts://localhost:{broker.port}"
    own = TlsFiles(ca_file=certificates.ca, cert_file=certificates.client, key_file=certificates.client_key)
    await exchange_messages(url, tls=own)
    async with running_client(url, tls=TlsFiles(ca_file=certificates.ca)) as listener:
        assert (await listener.end()).code == "unreachable"


async def test_a_client_that_is_aborted_while_it_opens_the_socket_sends_no_connect(certificates):
    """Its CONNECT would take the session from the bridge that runs the account now."""
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client.abort()
        await writer.start_tls(certificates.server_context)
        received.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"mqtts://localhost:{server.sockets[0].getsockname()[1]}"
    async with server, running_client(url, tls=TlsFiles(ca_file=certificates.ca)) as listener:
        client = listener.client
        assert await asyncio.wait_for(received, MAX_WAIT_SECONDS) == b""
        assert listener.events == []


async def test_a_certificate_of_an_unknown_authority_is_refused_in_words(
    start_mosquitto: StartMosquitto, certificates
):
    broker = start_mosquitto(certificates.listener, listener=False)
    async with running_client(f"mqtts://localhost:{broker.port}") as listener:
        disconnected = await listener.end()
    assert disconnected.reason.startswith(f"the certificate of localhost:{broker.port} is not accepted: ")
    assert "mqtt.tls.ca_file" in disconnected.reason


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_for_another_host_is_refused_in_words(
    start_mosquitto: StartMosquitto, tmp_path: Path, host: str
):
    certificates = Certificates(tmp_path, names=("broker.example", "127.0.0.2"))
    broker = start_mosquitto(certificates.listener, listener=False)
    async with running_client(
        f"mqtts://{host}:{broker.port}", tls=TlsFiles(ca_file=certificates.ca)
    ) as listener:
        disconnected = await listener.end()
    assert disconnected.reason.startswith(f"the certificate of {host}:{broker.port} is not accepted: ")
    assert "mismatch" in disconnected.reason


async def test_tls_to_a_plain_port_and_a_plain_connection_to_a_tls_port_are_failed_attempts(
    start_mosquitto: StartMosquitto, mosquitto: Mosquitto, certificates
):
    secured = start_mosquitto(certificates.listener, listener=False)
    async with running_client(
        f"mqtts://127.0.0.1:{mosquitto.port}", tls=TlsFiles(ca_file=certificates.ca)
    ) as listener:
        assert "TLS" in (await listener.end()).reason
    async with running_client(f"mqtt://127.0.0.1:{secured.port}") as listener:
        assert (await listener.end()).code == "unreachable"


@pytest.mark.parametrize("missing", ["ca_file", "cert_file", "key_file"])
async def test_a_missing_certificate_file_is_named(mosquitto: Mosquitto, certificates, missing: str):
    """The system says which file it is; the ssl module leaves that out."""
    files = TlsFiles(ca_file=certificates.ca, cert_file=certificates.client, key_file=certificates.client_key)
    file = getattr(files, missing)
    file.unlink()
    async with running_client(f"mqtts://localhost:{mosquitto.port}", tls=files) as listener:
        disconnected = await listener.end()
    assert disconnected.reason == f"cannot read {file}: no such file or directory"


async def test_websocket(start_mosquitto: StartMosquitto):
    broker = start_mosquitto(
        "listener {port} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n", listener=False
    )
    await exchange_messages(f"ws://127.0.0.1:{broker.port}/mqtt?token=x")


async def test_websocket_behind_tls(start_mosquitto: StartMosquitto, certificates):
    broker = start_mosquitto(certificates.listener + "protocol websockets\n", listener=False)
    await exchange_messages(f"wss://localhost:{broker.port}", tls=TlsFiles(ca_file=certificates.ca))


async def test_the_path_of_a_websocket_url_is_asked_for_and_a_ping_there_is_answered_masked():
    """paho forgets to mask its pong; a strict server hangs up, and amqtt pings every 20 s."""
    ponged = asyncio.get_running_loop().create_future()

    async def broker(connection: ServerConnection) -> None:
        assert connection.request is not None
        assert connection.request.path == "/a/b?token=x"
        assert (await connection.recv())[:1] == b"\x10"
        await connection.send(b"\x20\x03\0\0\0")
        waiter = await connection.ping()
        ponged.set_result(await asyncio.wait_for(waiter, MAX_WAIT_SECONDS))
        await connection.wait_closed()

    async with serve(broker, "127.0.0.1", 0, subprotocols=["mqtt"], ping_interval=None) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        async with running_client(f"ws://127.0.0.1:{port}/a/b?token=x", filters=()) as listener:
            await listener.connection()
            await asyncio.wait_for(ponged, MAX_WAIT_SECONDS)


async def test_a_web_server_that_speaks_no_mqtt_is_a_failed_attempt():
    async def answers(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with running_client(f"ws://127.0.0.1:{port}") as listener:
            assert (await listener.end()).code == "unreachable"


async def test_unix_socket(start_mosquitto: StartMosquitto, tmp_path: Path):
    start_mosquitto(f"listener 0 {tmp_path}/m.sock\nallow_anonymous true\n", listener=False)
    await exchange_messages(f"unix://{tmp_path}/m.sock")


async def test_a_missing_unix_socket_is_named(tmp_path: Path):
    async with running_client(f"unix://{tmp_path}/none.sock") as listener:
        disconnected = await listener.end()
    assert str(tmp_path / "none.sock") in disconnected.reason
    assert disconnected.retry_in <= 1.5
