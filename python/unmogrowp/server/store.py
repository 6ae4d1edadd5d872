"""The store process: owns the warehouse, ships, attributes, answers reads."""

import asyncio
import itertools
import logging
import math
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from unmogrowp.errors import SinkBusy, SinkDamaged, UnmogrowpError
from unmogrowp.pipeline import Pipeline
from unmogrowp.pipeline.erase import EraseError
from unmogrowp.server import answers, logs, wire
from unmogrowp.server.child import Orders, receive_orders, report_ready
from unmogrowp.server.loop import RETRY_S, Loop, Work
from unmogrowp.warehouse import Warehouse

READERS = 8
# Each open answer holds a page of rows.
ANSWERS_MAX = 64
# A reader that takes nothing for so long has gone, or will not be waited for.
STALLED_S = 60.0
CHUNK_BYTES = 1 << 20
CHECK_S = 5.0
RETAIN_S = 3_600.0
OPEN_S = 5.0
FOLDER = "unmogrowp-"
log = logging.getLogger("unmogrowp.store")


class Store:
    """The pipeline and its loops, open as soon as the warehouse lets them."""

    def __init__(self, orders: Orders) -> None:
        self._home = orders.home
        self._warehouse = Warehouse(orders.dsn)
        self._pipeline: Pipeline | None = None
        self._loops: list[Loop] = []
        self._problem: str | None = "the warehouse is not open yet"
        self.damage: SinkDamaged | None = None

    def open(self, stop: threading.Event, seconds: float = math.inf) -> None:
        """Open the warehouse and begin to ship, trying again while it is busy.

        Raises:
            UnmogrowpError: It will never open.
        """
        deadline = time.monotonic() + seconds
        while self._pipeline is None and time.monotonic() < deadline and not stop.is_set():
            try:
                self._open()
            except SinkBusy as error:
                self._problem = str(error)
                log.warning("waiting: %s", error)
                stop.wait(RETRY_S)

    def _open(self) -> None:
        self._warehouse.migrate()
        pipeline = Pipeline.open(self._warehouse, self._home)
        try:
            pipeline.repair()
            pipeline.join()
            pipeline.forget()
        except BaseException:
            pipeline.close()
            raise
        works = {
            "ship": Work(pipeline.ship_once, is_late=pipeline.is_shipping_late),
            "attribute": Work(pipeline.attribute_once, is_late=pipeline.is_attributing_late),
            "check": Work(pipeline.check, CHECK_S),
            "retain": Work(pipeline.retain_once, RETAIN_S),
        }
        give_way = self._warehouse.give_way
        self._loops = [Loop(name, work, self._give_up, give_way) for name, work in works.items()]
        for loop in self._loops:
            loop.start()
        self._pipeline, self._problem = pipeline, None

    def _give_up(self, damage: SinkDamaged) -> None:
        """End the process: only opened anew does the engine tell what is whole."""
        if self.damage is None:
            self.damage = damage
            signal.raise_signal(signal.SIGTERM)

    def close(self) -> None:
        """Finish the steps at hand and let everything go."""
        for loop in self._loops:
            loop.stop()
        if self._pipeline is not None:
            self._pipeline.close()
        self._warehouse.close()

    def answer(self, question: wire.Question) -> tuple[wire.Head, Iterator[bytes]]:
        """The head and the body of an answer.

        Raises:
            SinkBusy: The warehouse is not open yet.
            Unanswerable: A wrong parameter.
        """
        if question.name == wire.STATUS:
            return wire.Head(), iter([msgspec.json.encode(self.status())])
        if self._pipeline is None:
            raise SinkBusy(self._problem or "")
        if question.name == wire.BACKUP:
            return wire.Head(content_type="application/x-tar"), self._pipeline.backup()
        return answers.answer(self._pipeline, question)

    def status(self) -> dict[str, int | str | None]:
        """How far behind the warehouse is, and why."""
        problems = [self._problem, *(loop.problem for loop in self._loops)]
        found = self._pipeline.status() if self._pipeline is not None else {}
        return {**found, "problem": "; ".join(filter(None, problems)) or None}


class Desk:
    """The socket on which the store answers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        # Of its own, so that long reads do not keep anybody from seeing how the store is.
        self._status = ThreadPoolExecutor(1, thread_name_prefix="status")
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question."""
        self._open += 1
        try:
            _, payload = await wire.read(reader)
            question = msgspec.json.decode(payload, type=wire.Question)
            await self._answer(question, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            log.info("a reader went away")
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, question: wire.Question, writer: asyncio.StreamWriter) -> None:
        """Make frame after frame: a thread is taken only while one is made, however slow who reads.

        A tick goes out while a frame takes long.
        """
        frames = self._frames(question)
        pool = self._status if question.name == wire.STATUS else self._readers
        loop = asyncio.get_running_loop()
        while True:
            making = loop.run_in_executor(pool, next, frames, None)
            while not (await asyncio.wait([making], timeout=wire.TICK_S))[0]:
                await wire.write(writer, wire.TICK)
            frame = making.result()
            if frame is None:
                return
            async with asyncio.timeout(STALLED_S):
                await wire.write(writer, *frame)

    def _asked(self, question: wire.Question) -> tuple[wire.Head, Iterator[bytes]]:
        if self._open > ANSWERS_MAX and question.name != wire.STATUS:
            raise SinkBusy(f"`{ANSWERS_MAX}` reads are open already\nhint: try again shortly")
        return self._store.answer(question)

    def _frames(self, question: wire.Question) -> Iterator[tuple[bytes, bytes]]:
        is_begun = False
        try:
            head, chunks = self._asked(question)
            # Before the head, so that a question that fails at once is answered as a whole.
            first = next(chunks, b"")
            yield wire.HEAD, msgspec.json.encode(head)
            is_begun = True
            for chunk in itertools.chain([first], chunks):
                for start in range(0, len(chunk), CHUNK_BYTES):
                    yield wire.BODY, chunk[start : start + CHUNK_BYTES]
        except Exception as error:
            if is_begun:
                log.exception("an answer broke off")
                yield wire.BROKEN, b""
                return
            head, sentence = _refusal(error)
            yield wire.HEAD, msgspec.json.encode(head)
            yield wire.BODY, sentence.encode()
        yield wire.END, b""


def _refusal(error: Exception) -> tuple[wire.Head, str]:
    match error:
        case answers.Unanswerable():
            return wire.Head(400, "text/plain"), str(error)
        case EraseError():
            return wire.Head(409, "text/plain"), str(error)
        case SinkBusy():
            return wire.Head(503, "text/plain"), str(error)
    log.error("a question could not be answered", exc_info=error)
    return wire.Head(500, "text/plain"), "the store failed; its log says more"


def main() -> int:
    """Serve until SIGTERM; 1 where the warehouse will never open."""
    logs.begin("store")
    orders = receive_orders()
    try:
        store = Store(orders)
        # The store of a killed supervisor may still be closing the warehouse.
        store.open(threading.Event(), OPEN_S)
    except UnmogrowpError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    try:
        asyncio.run(_serve(store, orders.home))
    except UnmogrowpError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        store.close()
    return 0 if store.damage is None else 1


async def _serve(store: Store, home: Path) -> None:
    mark = home / "store.socket"
    _forget(mark)
    # A socket's path may have 108 bytes at most, and a data directory lies anywhere.
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        path = Path(folder) / "store"
        server = await asyncio.start_unix_server(Desk(store).serve, path)
        mark.with_suffix(".new").write_text(str(path))
        mark.with_suffix(".new").rename(mark)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        # Ctrl-C reaches the whole group; the supervisor passes it on when it is our turn.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        report_ready()
        await _open_until(store, stop)
        server.close()
        mark.unlink(missing_ok=True)


async def _open_until(store: Store, stop: asyncio.Event) -> None:
    """Keep trying to open beside serving, until told to stop."""
    stopped = threading.Event()
    opening = asyncio.create_task(asyncio.to_thread(store.open, stopped))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if opening.done() and opening.exception() is None:
        await stopping
    stopped.set()
    await opening


def _forget(mark: Path) -> None:
    """Remove what a killed predecessor left in the folder for temporary files."""
    if mark.exists():
        folder = Path(mark.read_text()).parent
        if folder.name.startswith(FOLDER) and folder.parent == Path(tempfile.gettempdir()):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
