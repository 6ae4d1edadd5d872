"""ClickHouse's HTTP interface in front of chDB, for tests.

`python clickhouse_over_http.py DIR [PORT]` prints the port once it answers.
The registries have no ClickHouse server, so the HTTP path of the client is met by the real engine
behind a thin door: query, settings and parameters from the URL, the data of an insert as the body.
"""

import sys
import tempfile
import threading
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
connection = chdb.connect(sys.argv[1])
lock = threading.Lock()
names = connection.query("SELECT name FROM system.settings", "TabSeparatedRaw").bytes() or b""
SETTINGS = frozenset(names.decode().split())


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

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
        data = body if sql is not None else None
        try:
            with lock:
                self.answer(run(sql if sql is not None else body.decode(), data, values))
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


def run(sql: str, data: bytes | None, values: dict[str, str]) -> bytes:
    own = {name: value for name, value in values.items() if name in SETTINGS}
    params = {k.removeprefix("param_"): v for k, v in values.items() if k.startswith("param_")}
    before = {name: setting(name) for name in own}
    try:
        for name, value in own.items():
            connection.query(f"SET {name} = '{value}'")
        if not data:
            return connection.query(sql, "TabSeparated", params=params).bytes() or b""
        with tempfile.NamedTemporaryFile(suffix=".raw") as file:
            file.write(data)
            file.flush()
            head, _, fmt = sql.strip().rpartition(" FORMAT ")
            connection.query(f"{head} FROM INFILE '{file.name}' FORMAT {fmt.split()[0]}")
        return b""
    finally:
        for name, value in before.items():
            connection.query(f"SET {name} = '{value}'")


def setting(name: str) -> str:
    query = f"SELECT value FROM system.settings WHERE name = '{name}'"
    return (connection.query(query, "TabSeparatedRaw").bytes() or b"").decode().rstrip("\n")


def main() -> None:
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = ThreadingHTTPServer(("127.0.0.1", port), Door)
    Path(sys.argv[1], "port").write_text(str(server.server_port))
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
