"""A server without its processes, for tests that go step by step."""

import json
import select
import time
from pathlib import Path

from unmogrowp import _core
from unmogrowp.pipeline import Pipeline
from unmogrowp.warehouse import Span, Warehouse
from unmogrowp.warehouse.attribution import Question, attribution
from unmogrowp.warehouse.paths import paths


def make_durable(intake: _core.Intake, token: int, app: str, body: bytes) -> dict[str, object]:
    """Send a body and wait for its answer."""
    intake.submit(
        token,
        body,
        encoding=None,
        inlet="native",
        app_id=app,
        truncate_ip=False,
        received_at_us=time.time_ns() // 1000,
    )
    while not (answers := intake.drain()):
        assert select.select([intake.fileno()], [], [], 10)[0], "no answer"
    answer: dict[str, object] = json.loads(answers[0][2])
    return answer


def body_of(events: list[dict[str, object]]) -> bytes:
    """NDJSON."""
    return "\n".join(json.dumps(one) for one in events).encode()


class House:
    """An intake, a pipeline and a warehouse."""

    def __init__(self, home: Path, dsn: str) -> None:
        self.home = home
        self.warehouse = Warehouse(dsn)
        self.warehouse.migrate()
        self.pipeline = Pipeline.open(self.warehouse, home)
        self.pipeline.join()
        self.sent: list[dict[str, object]] = []
        self.sent_to: dict[str, list[dict[str, object]]] = {}
        self._intake = _core.Intake(home / "spool")
        self._token = 0

    def create(self, *apps: str) -> None:
        for app in apps:
            self.pipeline.catalog.create_app(app, app, "USD")

    def send(self, app: str, events: list[dict[str, object]], *, is_shipped: bool = True) -> None:
        """Make events durable in the spool and ship them."""
        self._token += 1
        answer = make_durable(self._intake, self._token, app, body_of(events))
        assert answer["stored"] == len(events)
        self.sent += events
        self.sent_to.setdefault(app, []).extend(events)
        if is_shipped:
            self.ship()

    def ship(self) -> None:
        while self.pipeline.ship_once():
            pass

    def attribute(self) -> None:
        while self.pipeline.attribute_once():
            pass

    def reopen(self) -> None:
        """As after a kill: what only memory held is gone."""
        self.pipeline.close()
        self.pipeline = Pipeline.open(self.warehouse, self.home)
        self.pipeline.join()

    def credit(self, app: str, model: str = "linear") -> tuple[dict[str | None, float], int]:
        applied = self.pipeline.applied(app)
        assert applied is not None
        question = Question(applied.rule_version, model=model)
        answer = attribution(self.warehouse, Span(app), question)
        rows = {row["channel"]: row["conversions"] for row in answer["rows"]}
        return rows, answer["unattributed"]["conversions"]

    def paths(self, app: str) -> dict[tuple[str | None, ...], tuple[int, int]]:
        """How often each path converted, and how often not."""
        applied = self.pipeline.applied(app)
        assert applied is not None
        question = Question(applied.rule_version, conversions=["install", "purchase"])
        answer = paths(self.warehouse, Span(app), question, limit=10_000)
        return {
            tuple(row["channels"]): (row["conversions"], row["nulls"]) for row in answer["rows"]
        }

    def close(self) -> None:
        self._intake.close()
        self.pipeline.close()
        self.warehouse.close()
