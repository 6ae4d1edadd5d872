"""The store process: owns the warehouse, ships, attributes, answers reads."""

import asyncio
import logging
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from unmogrowp.errors import SinkError, UnmogrowpError
from unmogrowp.pipeline import Pipeline
from unmogrowp.server import answers, wire
from unmogrowp.server.child import receive_orders, report_ready
from unmogrowp.warehouse import Warehouse

READERS = 4
QUEUE_CHUNKS = 8
IDLE_S = 0.2
RETRY_S = 1.0
log = logging.getLogger("unmogrowp.store")


class Loop:
    """A step of the pipeline, repeated in a thread until told to stop."""

    def __init__(self, name: str, step: Callable[[], bool]) -> None:
        self.problem: str | None = None
        self._step = step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the step at hand and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                worked = self._step()
                self.problem = None
            except UnmogrowpError as error:
                log.exception("a step of %s failed", self._thread.name)
                self.problem = str(error)
                self._stop.wait(RETRY_S)
                continue
            if not worked:
                self._stop.wait(IDLE_S)


class Store:
    """The socket on which the store answers."""

    def __init__(self, pipeline: Pipeline, loops: list[Loop]) -> None:
        self._pipeline = pipeline
        self._loops = loops
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question."""
        try:
            _, payload = await wire.read(reader)
            question = msgspec.json.decode(payload, type=wire.Question)
            await self._answer(question, writer)
        except (OSError, asyncio.IncompleteReadError):
            log.info("a reader went away")
        finally:
            writer.close()

    async def _answer(self, question: wire.Question, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue(QUEUE_CHUNKS)
        gone = threading.Event()

        def work() -> None:
            for frame in self._frames(question):
                if gone.is_set():
                    return
                asyncio.run_coroutine_threadsafe(chunks.put(frame), loop).result()

        running = loop.run_in_executor(self._pool, work)
        try:
            kind = wire.TICK
            while kind != wire.END:
                try:
                    async with asyncio.timeout(wire.TICK_S):
                        kind, payload = await chunks.get()
                except TimeoutError:
                    kind, payload = wire.TICK, b""
                await wire.write(writer, kind, payload)
        finally:
            gone.set()
            # The worker may wait for room in the queue: make some, so that it can end.
            while not running.done():
                while not chunks.empty():
                    chunks.get_nowait()
                await asyncio.wait([running], timeout=0.05)

    def _frames(self, question: wire.Question) -> Iterator[tuple[bytes, bytes]]:
        try:
            if question.name == "status":
                yield from _whole(wire.Head(), self._status())
            else:
                head, body = answers.answer(self._pipeline, question)
                yield wire.HEAD, msgspec.json.encode(head)
                for chunk in body:
                    yield wire.BODY, chunk
        except answers.Unanswerable as error:
            yield from _whole(wire.Head(400, "text/plain"), str(error).encode())
        except SinkError as error:
            yield from _whole(wire.Head(503, "text/plain"), str(error).encode())
        except Exception:
            log.exception("a question could not be answered")
            yield from _whole(wire.Head(500, "text/plain"), b"the store failed; its log says more")
        yield wire.END, b""

    def _status(self) -> bytes:
        problems = [loop.problem for loop in self._loops if loop.problem]
        status = {**self._pipeline.status(), "problem": "; ".join(problems) or None}
        return msgspec.json.encode(status)


def _whole(head: wire.Head, body: bytes) -> Iterator[tuple[bytes, bytes]]:
    yield wire.HEAD, msgspec.json.encode(head)
    yield wire.BODY, body


def main() -> int:
    """Serve until SIGTERM; 1 where the warehouse cannot be opened."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    orders = receive_orders()
    try:
        warehouse = Warehouse(orders.dsn)
        warehouse.migrate()
        pipeline = Pipeline.open(warehouse, orders.home)
    except UnmogrowpError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    loops = [Loop("ship", pipeline.ship_once), Loop("attribute", pipeline.attribute_once)]
    for loop in loops:
        loop.start()
    try:
        asyncio.run(_serve(Store(pipeline, loops), orders.home))
    finally:
        for loop in loops:
            loop.stop()
        pipeline.close()
        warehouse.close()
    return 0


async def _serve(store: Store, home: Path) -> None:
    # A socket's path may have 108 bytes at most, and a data directory lies anywhere.
    with tempfile.TemporaryDirectory(prefix="unmogrowp-") as folder:
        path = Path(folder) / "store"
        server = await asyncio.start_unix_server(store.serve, path)
        mark = home / "store.socket"
        mark.with_suffix(".new").write_text(str(path))
        mark.with_suffix(".new").rename(mark)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        report_ready()
        await stop.wait()
        server.close()
        mark.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
