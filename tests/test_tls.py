"""The native listener over TLS: both versions of HTTP, renewal, and whoever cannot shake hands."""

import contextlib
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from serving import CLI, LISTENERS, Server, event, ndjson, until

pytestmark = pytest.mark.service
HOST = "127.0.0.1"


def issue(authority: trustme.CA, folder: Path) -> tuple[Path, Path]:
    """A certificate and its key, each put in place whole, the key first."""
    made = authority.issue_cert(HOST)
    chain, key = folder / "chain.pem", folder / "key.pem"
    for file, text in (
        (key, made.private_key_pem.bytes()),
        (chain, b"".join(blob.bytes() for blob in made.cert_chain_pems)),
    ):
        file.with_suffix(".new").write_bytes(text)
        file.with_suffix(".new").replace(file)
    return chain, key


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def flags(chain: Path, key: Path) -> tuple[str, ...]:
    certificate = ("--ingest-certificate", str(chain), "--ingest-certificate-key", str(key))
    return (*LISTENERS["native"], *certificate)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA
) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    server = Server(folder / "data", flags=flags(*issue(authority, folder))).start()
    try:
        server.create_app()
        yield server, folder
    finally:
        server.stop()


def address(server: Server) -> tuple[str, int]:
    url = httpx.URL(server.ingest_url)
    assert (url.scheme, url.host) == ("https", HOST)
    return url.host, url.port or 443


@pytest.mark.parametrize("is_http2", [False, True])
def test_events_are_stored(
    server: tuple[Server, Path], authority: trustme.CA, *, is_http2: bool
) -> None:
    one, _ = server
    with httpx.Client(verify=trusting(authority), http2=is_http2) as client:
        for number in range(3):
            body = ndjson([event(number, event_id=f"{is_http2}-{number}")])
            answer = client.post(
                f"{one.ingest_url}/v1/events", content=body, headers=one.headers("write")
            )
            assert answer.http_version == ("HTTP/2" if is_http2 else "HTTP/1.1")
            assert answer.json()["stored"] == 1
        # Larger than any buffer on the way.
        many = ndjson([event(number, event_id=f"{is_http2}-{number}") for number in range(5_000)])
        answer = client.post(
            f"{one.ingest_url}/v1/events", content=many, headers=one.headers("write")
        )
    assert (answer.json()["stored"], answer.json()["duplicate"]) == (4_997, 3)


def test_whoever_does_not_trust_it_sends_nothing(server: tuple[Server, Path]) -> None:
    one, _ = server
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.post(f"{one.ingest_url}/v1/events", content=b"{}")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_today_are_spoken(
    server: tuple[Server, Path], authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(address(server[0]), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        assert connection.version() == version.name.replace("TLSv1_", "TLSv1.")


def heard(connection: socket.socket) -> bytes:
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(4096), b""))
    return b""


def test_plain_http_is_not_answered(server: tuple[Server, Path]) -> None:
    with socket.create_connection(address(server[0]), timeout=10) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/" not in heard(connection)


def test_whoever_does_not_shake_hands_is_let_go(server: tuple[Server, Path]) -> None:
    one, _ = server
    with socket.create_connection(address(one), timeout=15) as connection:
        # The head of a record, and then nothing.
        connection.sendall(b"\x16\x03\x01\x02\x00")
        assert heard(connection) == b""


def subject(server: Server) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(address(server), timeout=10) as plain,
        context.wrap_socket(plain) as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def test_a_renewed_certificate_is_used_without_a_restart(
    server: tuple[Server, Path], authority: trustme.CA
) -> None:
    one, folder = server
    with httpx.Client(verify=trusting(authority)) as client:
        assert client.get(f"{one.ingest_url}/health/live").is_success
        before = subject(one)
        issue(authority, folder)
        until(lambda: subject(one) != before, 10, "the new certificate was shown")
        # A connection from before goes on.
        assert client.get(f"{one.ingest_url}/health/live").is_success
    after = subject(one)
    key = folder / "key.pem"
    good = key.read_bytes()
    key.write_text("nonsense")
    log = one.data_dir.parent / f"{one.data_dir.name}.log"
    until(lambda: "the certificate stays as it was" in log.read_text(), 10, "it was said")
    assert subject(one) == after
    key.write_bytes(good)
    assert good.splitlines()[1].decode() not in log.read_text()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda chain, _: chain.unlink(), "cannot read `{chain}`: no such file or directory"),
        (lambda chain, _: chain.write_text(""), "no certificate can be read"),
        (lambda _, key: key.write_text(""), "no private key can be read"),
        (lambda _, key: key.write_bytes(other_key()), "give the key that it was made for"),
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, authority: trustme.CA, spoil: Callable[[Path, Path], object], said: str
) -> None:
    chain, key = issue(authority, tmp_path)
    spoil(chain, key)
    error = refused(tmp_path, *flags(chain, key))
    assert said.format(chain=chain) in error
    assert str(chain) in error


def other_key() -> bytes:
    return trustme.CA().issue_cert(HOST).private_key_pem.bytes()


def test_half_of_it_is_refused(tmp_path: Path, authority: trustme.CA) -> None:
    chain, key = issue(authority, tmp_path)
    error = refused(tmp_path, *LISTENERS["native"], "--ingest-certificate", str(chain))
    assert "`ingest_certificate` is set and `ingest_certificate_key` is not" in error
    both = ("--ingest-certificate", str(chain), "--ingest-certificate-key", str(key))
    assert "needs `listener = native`" in refused(tmp_path, *both)


def refused(folder: Path, *flags: str) -> str:
    command = [*CLI, "serve", "--port", "0", "--data-dir", str(folder / "data"), *flags]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "hint: " in done.stderr
    return done.stderr
