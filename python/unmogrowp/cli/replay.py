"""`unmogrowp replay`: events that were recorded, or refused, to a running server once more."""

import argparse
import base64
import contextlib
import dataclasses
import gzip
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from unmogrowp.cli.asking import Server, add_span, server_of, span
from unmogrowp.cli.files import reading
from unmogrowp.cli.options import Commands, UsageError, add_command, add_json, add_place
from unmogrowp.cli.show import note, print_json, print_line
from unmogrowp.errors import MissingExtra, UnmogrowpError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unmogrowp.sending import Sent

BODY_BYTES = 1 << 20
# A record longer than the server takes by default: the file is not NDJSON.
LINE_BYTES_MAX = 10 << 20
ABOUT = """\
Files hold NDJSON as a client sent it or `unmogrowp export` wrote it, plain, .gz or .zst. An event
with an event_id that the server still knows is stored once only, so a replay may be repeated."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "replay", "send recorded or refused events once more", ABOUT)
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="NDJSON to send")
    parser.add_argument(
        "--rejects", action="store_true", help="send what was refused, after its cause was mended"
    )
    add_span(parser)
    parser.add_argument("--url", help="server to send to (default: the one of the data directory)")
    parser.add_argument("--key", help="write key (default: one for this replay alone)")
    parser.add_argument("--rate", type=int, metavar="N", help="at most so many events a second")
    add_json(parser)
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Send them; 1 where the server refused some."""
    if bool(options.files) == options.rejects:
        raise UsageError("nothing to send\nhint: name files, or say --rejects")
    if options.url and not options.key:
        raise UsageError("no key for that server\nhint: give a write key of it with --key")
    if options.rate is not None and options.rate < 1:
        raise UsageError(f"--rate must be at least 1, got `{options.rate}`")
    for path in options.files:
        if not path.is_file():
            raise UnmogrowpError(f"no file `{path}`\nhint: check the name")
    sent = _send(options)
    if options.json:
        print_json(dataclasses.asdict(sent))
    else:
        print_line(
            f"{sent.received:,} sent: {sent.stored:,} stored, {sent.duplicate:,} there before, "
            f"{sent.rejected:,} refused"
        )
        for reason in sent.reasons:
            note(f"refused: {reason}")
    return 1 if sent.rejected else 0


def _send(options: argparse.Namespace) -> "Sent":
    from unmogrowp.sending import Progress, Senders

    if options.rejects:
        bodies: Iterable[bytes] = _refused(server_of(options), options)
        size = 0
    else:
        bodies = (body for path in options.files for body in _bodies(path))
        size = sum(path.stat().st_size for path in options.files)
    url = options.url or server_of(options).url
    # Lines are about half a kilobyte; the bar only says how far it is.
    progress = Progress(size // 500, "events sent", is_quiet=True)
    with _key(options) as key, Senders(url, key, progress) as senders:
        for body in _paced(bodies, options.rate):
            senders.give(body)
    return senders.sent


@contextlib.contextmanager
def _key(options: argparse.Namespace) -> "Iterator[str]":
    """The key given, or one that opens nothing any more when the replay is over."""
    if options.key:
        yield options.key
        return
    from unmogrowp.cli.apps import opened

    with opened(options) as catalog:
        plaintext, key = catalog.create_key(options.app, "write")
        try:
            yield plaintext
        finally:
            catalog.revoke_key(key.id)


def _paced(bodies: "Iterable[bytes]", rate: int | None) -> "Iterator[bytes]":
    started, count = time.monotonic(), 0
    for body in bodies:
        if rate is not None:
            time.sleep(max(0.0, started + count / rate - time.monotonic()))
        count += body.count(b"\n") + (not body.endswith(b"\n"))
        yield body


def _bodies(path: Path) -> "Iterator[bytes]":
    """A file in pieces that end where lines end."""
    rest = b""
    with reading(path), path.open("rb") as file, _plain(path, file) as plain:
        while piece := plain.read(BODY_BYTES):
            lines, newline, tail = (rest + piece).rpartition(b"\n")
            if newline:
                yield lines + newline
            rest = tail
            if len(rest) > LINE_BYTES_MAX:
                raise ValueError(f"a line is longer than {LINE_BYTES_MAX:,} bytes\nhint: NDJSON?")
        if rest.strip():
            yield rest


def _plain(path: Path, file: BinaryIO) -> "contextlib.AbstractContextManager[BinaryIO]":
    match path.suffix.lower():
        case ".gz":
            return cast("contextlib.AbstractContextManager[BinaryIO]", gzip.GzipFile(fileobj=file))
        case ".zst":
            try:
                import zstandard
            except ImportError as error:
                raise MissingExtra("server") from error
            return zstandard.ZstdDecompressor().stream_reader(file)
        case _:
            return contextlib.nullcontext(file)


def _refused(server: Server, options: argparse.Namespace) -> "Iterator[bytes]":
    """The very bytes that were refused, each on a line of its own, in one body after the other."""
    with server.get("/v1/rejects", span(options), "application/json") as answer:
        rows = json.loads(answer.read())["rows"]
    raws = [base64.b64decode(row["raw_base64"] or b"") or row["raw"].encode() for row in rows]
    # A line break between the members of a record means nothing.
    lines = [raw.replace(b"\n", b" ") for raw in raws]
    step = 1_000
    for start in range(0, len(lines), step):
        yield b"\n".join(lines[start : start + step])
