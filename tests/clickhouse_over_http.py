"""ClickHouse's HTTP interface in front of chDB, for tests.

`python clickhouse_over_http.py DIR [PORT]` prints the port once it answers.
The registries have no ClickHouse server, so the HTTP path of the client is met by the real engine
behind a thin door: query, settings and parameters from the URL, the data of an insert as the body.
"""

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import chdb
import lz4.frame
import zstandard

DECODERS = {
    "lz4": lz4.frame.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


class Engine:
    """One chDB directory, one query at a time."""

    def __init__(self, folder: str) -> None:
        self._connection = chdb.connect(folder)
        self._lock = threading.Lock()
        self._settings = frozenset(self.text("SELECT name FROM system.settings").split())

    def text(self, sql: str) -> str:
        return (self._connection.query(sql, "TabSeparatedRaw").bytes() or b"").decode()

    def run(self, sql: str, data: bytes, values: dict[str, str]) -> bytes:
        own = {name: value for name, value in values.items() if name in self._settings}
        with self._lock:
            before = {name: self.setting(name) for name in own}
            try:
                self.set(own)
                return self.insert(sql, data) if data else self.query(sql, values)
            finally:
                self.set(before)

    def query(self, sql: str, values: dict[str, str]) -> bytes:
        params = {k.removeprefix("param_"): v for k, v in values.items() if k.startswith("param_")}
        return self._connection.query(sql, "TabSeparated", params=params).bytes() or b""

    def insert(self, sql: str, data: bytes) -> bytes:
        with tempfile.NamedTemporaryFile(suffix=".raw") as file:
            file.write(data)
            file.flush()
            head, _, fmt = sql.strip().rpartition(" FORMAT ")
            self._connection.query(f"{head} FROM INFILE '{file.name}' FORMAT {fmt.split()[0]}")
        return b""

    def set(self, settings: dict[str, str]) -> None:
        for name, value in settings.items():
            self._connection.query(f"SET {name} = '{value}'")

    def setting(self, name: str) -> str:
        return self.text(f"SELECT value FROM system.settings WHERE name = '{name}'").rstrip("\n")


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine

    def do_GET(self) -> None:
        self.answer(b"Ok.\n")

    def do_POST(self) -> None:
        values = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        body = self.body()
        # The statement is in the URL, or it is the first line of the body with data behind it.
        if "query" not in values and body.lstrip().upper().startswith(b"INSERT"):
            head, _, body = body.partition(b"\n")
            values["query"] = head.decode()
        sql = values.get("query")
        try:
            if sql is None:
                self.answer(self.engine.run(body.decode(), b"", values))
            else:
                self.answer(self.engine.run(sql, body, values))
        except Exception as error:  # noqa: BLE001 - whatever the engine says is the answer
            self.answer(str(error).encode(), status=400)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b"".join(self.chunks())
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        decode = DECODERS.get(self.headers.get("Content-Encoding", ""))
        return decode(data) if decode else data

    def chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Summary", "{}")
        if status != 200:
            self.send_header("X-ClickHouse-Exception-Code", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def clickhouse(folder: Path, port: int = 0) -> Iterator[str]:
    """A ClickHouse on a folder; its DSN."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", __file__, str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def main() -> None:
    Door.engine = Engine(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = ThreadingHTTPServer(("127.0.0.1", port), Door)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
