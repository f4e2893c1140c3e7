"""The link over TLS: a proxy with a certificate of its own before the Valkey of the test session."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exai.calls.redis_link import RedisAway
from tests.calls.links import a_link, a_name, until


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of 127.0.0.1, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's Redis")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


class Proxy:
    """`url` has the password of the Valkey, and no options yet."""

    def __init__(self, server: asyncio.Server) -> None:
        credentials, _, rest = os.environ["REDIS_URL"].removeprefix("unix://").partition("@")
        self.url = f"rediss://{credentials}@127.0.0.1:{server.sockets[0].getsockname()[1]}/{rest.rpartition('=')[2]}"


@asynccontextmanager
async def tls_proxy(certificate: Path) -> AsyncIterator[Proxy]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    socket_path = os.environ["REDIS_URL"].partition("@")[2].partition("?")[0]
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_unix_connection(socket_path)
        tasks.add(asyncio.create_task(pass_on(reader, their_writer)))
        tasks.add(asyncio.create_task(pass_on(their_reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield Proxy(server)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_commands_large_values_and_channels_go_through_tls(certificate: Path) -> None:
    key, value = a_name(), os.urandom(2_000_000)
    heard: list[bytes] = []
    async with tls_proxy(certificate) as proxy, a_link(f"{proxy.url}?ssl_ca_certs={certificate}") as link:
        await link.command("SET", key, value)
        assert await link.command("GETDEL", key) == value
        replies = await asyncio.gather(*(link.command("ECHO", number) for number in range(100)))
        assert replies == [b"%d" % number for number in range(100)]
        await link.subscribe(key, heard.append)
        link.send("PUBLISH", key, "heard")
        await until(lambda: heard == [b"heard"])


async def test_an_unknown_certificate_is_not_trusted(certificate: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with tls_proxy(certificate) as proxy, a_link(proxy.url) as link:
        with pytest.raises(RedisAway, match="SSLCertVerificationError"):
            await link.command("PING")
    assert "127.0.0.1" not in " ".join(r.getMessage() for r in caplog.records if r.name.startswith("exai"))


async def test_a_certificate_of_another_host_is_not_trusted(certificate: Path) -> None:
    async with tls_proxy(certificate) as proxy:
        url = f"{proxy.url.replace('127.0.0.1', 'localhost')}?ssl_ca_certs={certificate}"
        async with a_link(url) as link:
            with pytest.raises(RedisAway, match="SSLCertVerificationError"):
                await link.command("PING")
        async with a_link(f"{url}&ssl_check_hostname=no") as link:
            assert await link.command("PING") == b"PONG"


async def test_a_url_can_do_without_verification(certificate: Path) -> None:
    async with tls_proxy(certificate) as proxy, a_link(f"{proxy.url}?ssl_cert_reqs=none") as link:
        assert await link.command("PING") == b"PONG"
