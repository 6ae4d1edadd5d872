"""Stored events in, credit out: incrementally, each marked person whole.

A round takes the batches stored since the last one. Whoever has a new touch, conversion or link is
marked; the touchpoints of marked persons are read whole and credited by the same kernel that the
library calls. Who is who, `persons`, and the graph's memory, `identities`, are written last: until
then a killed round leaves them as they were, and the round is simply done again.
"""

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping

from unmogrowp import _core
from unmogrowp.catalog import App, Catalog
from unmogrowp.errors import SinkBusy
from unmogrowp.pipeline import statements
from unmogrowp.pipeline.rival import refuse_rival
from unmogrowp.pipeline.state import Applied, State
from unmogrowp.table import Table
from unmogrowp.warehouse import Warehouse

BATCHES_MAX = 5
# Rounds make room for reports while no more than this waits; somebody who always asks would keep
# credits from following for ever.
PATIENT_BATCHES_MAX = 50
# What is kept of an app: credits, since 2 open journeys too.
KEPT = 2
TOUCHPOINTS_MAX = 500_000
# So many are read at once of who is who.
IDENTITIES_MAX = 100_000
_FIRST_HALF = (1 << 128) - (1 << 64)


class Attributor:
    """Keeps the credit table equal to what the whole history says."""

    def __init__(self, warehouse: Warehouse, catalog: Catalog, state: State) -> None:
        self._warehouse = warehouse
        self._catalog = catalog
        self._state = state
        self._graph: _core.Graph | None = None

    def attribute_once(self) -> bool:
        """Do one round; False where there was nothing to do."""
        # Before the apps: whoever sent a batch that is stored by now is among them.
        last = self._state.last_batch()
        apps = {app.id: app for app in self._catalog.apps()}
        changed = [app for app in apps.values() if self._is_changed(app)]
        for app in changed:
            self._recompute(app, apps)
        return self._round(last.id if last else 0, apps) or bool(changed)

    def is_late(self) -> bool:
        """Whether so much waits that rounds should make room for nobody."""
        return self.waiting() > PATIENT_BATCHES_MAX

    def forget(self) -> None:
        """Read who is who from the warehouse again, before the next round."""
        self._graph = None

    def has_opens(self, app_id: str) -> bool:
        """Whether the open journeys of an app are kept; those of an older version were not."""
        return self._state.counter(_kept(app_id)) >= KEPT

    def waiting(self) -> int:
        """How many stored batches are not attributed yet."""
        last = self._state.last_batch()
        return max(0, (last.id if last else 0) - self._state.counter("attributed"))

    def _round(self, last: int, apps: dict[str, App]) -> bool:
        after = self._state.counter("attributed")
        if last <= after:
            return False
        span = {"after": after, "upto": min(last, after + BATCHES_MAX)}
        refuse_rival(self._warehouse, self._state)
        try:
            began = self._begin()
            self._link(span, apps)
            for app in self._known(apps, statements.APPS, span):
                self._gather(app, span)
            for app in self._known(apps, statements.MARKED_APPS, {}):
                self._credit(app, statements.MARKED, parts=1)
            self._warehouse.command(statements.MOVE, {"version": self._state.next("version")})
            self._check(began)
            self._warehouse.command(statements.REMEMBER, span)
            self._warehouse.check()
        except BaseException:
            # The graph knows what the warehouse does not: forget it and read it again.
            self._graph = None
            raise
        self._state.set_counter("attributed", span["upto"])
        return True

    def _begin(self) -> dict[str, str]:
        """Empty the work tables, and leave a mark in them that is this round's."""
        for table in ("marks", "changes"):
            self._warehouse.command(f"TRUNCATE TABLE {table}")
        began = {"round": str(uuid.UUID(int=self._state.next("round")))}
        self._warehouse.command(statements.BEGIN, began)
        return began

    def _check(self, began: dict[str, str]) -> None:
        """A server that was started anew has lost the work tables: what was read is not all."""
        (row,) = self._warehouse.rows(statements.STILL, began)
        if not row["found"]:
            raise SinkBusy("the warehouse was started anew during a round\nhint: it is tried again")

    def _known(self, apps: dict[str, App], query: str, values: Mapping[str, int]) -> list[App]:
        """The apps a query names; one that is not in the catalog has no settings to credit by."""
        named = (str(row["app_id"]) for row in self._warehouse.rows(query, values))
        return [apps[name] for name in named if name in apps]

    def _link(self, span: dict[str, int], apps: dict[str, App]) -> None:
        """Grow the graph, and mark every person that gained or lost an identity."""
        graph = self._graph = self._graph or self._restored(apps)
        changed = graph.add(self._table(statements.IDENTITIES, span).batches)
        if len(changed):
            self._say_changed(changed)
            self._warehouse.command(statements.MARK_CHANGED)
            self._warehouse.command(statements.MARK_PREVIOUS)

    def _restored(self, apps: dict[str, App]) -> _core.Graph:
        graph = _core.Graph()
        for app in apps.values():
            graph.cut(app.id, app.settings.cuts)
        (row,) = self._warehouse.rows(statements.HOW_MANY)
        for part in _parts(1 + int(str(row["identities"])) // IDENTITIES_MAX):
            # Some may come twice, which changes nothing.
            graph.add(self._table(statements.REMEMBERED, part).batches)
        return graph

    def _gather(self, app: App, span: dict[str, int]) -> None:
        """Copy new touchpoints and mark whose they are."""
        names = {**span, "app_id": app.id, "conversions": list(app.settings.conversions)}
        self._warehouse.command(statements.GATHER, names)
        self._warehouse.command(statements.MARK_TOUCHED, names)

    def _is_changed(self, app: App) -> bool:
        applied = self._state.applied(app.id)
        if applied is None or applied.settings != rules_of(app):
            return True
        return self._state.counter(_kept(app.id)) < KEPT

    def _recompute(self, app: App, apps: dict[str, App]) -> None:
        """Credit a whole app by its new settings beside the old rows, then switch."""
        refuse_rival(self._warehouse, self._state)
        applied = self._state.applied(app.id)
        fresh = Applied(rules_of(app), self._state.next("rule_version"))
        is_cut_anew = (applied.cut if applied else []) != list(app.settings.cut)
        began = self._relink(app, apps) if is_cut_anew else None
        if self._warehouse.rows(statements.ANY_EVENT, {"app_id": app.id}):
            self._credit_all(app, fresh.rule_version)
        if began is not None:
            self._warehouse.command(statements.MOVE, {"version": self._state.next("version")})
            self._check(began)
        self._warehouse.check()
        self._state.apply(app.id, fresh)
        self._state.set_counter(_kept(app.id), KEPT)
        if applied is not None:
            old = {"app_id": app.id, "rule_version": fresh.rule_version}
            for statement in statements.FORGET:
                self._warehouse.command(statement, old)

    def _relink(self, app: App, apps: dict[str, App]) -> dict[str, str]:
        """Say of all identities of an app who they are by its new cuts."""
        began = self._begin()
        self._graph = self._restored(apps)
        persons = self._graph.persons(app.id)
        if len(persons):
            self._say_changed(persons)
        return began

    def _say_changed(self, persons: _core.Batches) -> None:
        """Put who is who from now on where the credit of this round sees it."""
        token = self._state.token(f"changes-{self._state.next('version')}")
        self._warehouse.insert("changes", _core.native(persons), token)

    def _credit_all(self, app: App, rule_version: int) -> None:
        names = {"app_id": app.id, "conversions": list(app.settings.conversions)}
        self._warehouse.command(statements.GATHER_ALL, names)
        (row,) = self._warehouse.rows(statements.COUNT, {"app_id": app.id})
        parts = 1 + int(str(row["touchpoints"])) // TOUCHPOINTS_MAX
        self._credit(app, statements.EVERYBODY, parts=parts, rule_version=rule_version)

    def _credit(
        self, app: App, whose: statements.Whose, *, parts: int, rule_version: int | None = None
    ) -> None:
        """Credit the conversions of some persons, in parts that fit into memory."""
        if rule_version is None:
            applied = self._state.applied(app.id)
            rule_version = applied.rule_version if applied else self._state.next("rule_version")
        labels = {"rule_version": rule_version, "version": self._state.next("version")}
        for part in range(parts):
            given = {"app_id": app.id, "part": part, "parts": parts}
            touchpoints = self._table(statements.touchpoints(whose), given)
            # Where everybody is credited, the rule version is new and has no rows.
            known = {"app_id": app.id, "rule_version": rule_version}
            opened = self._table(statements.OPENED, known) if whose.is_some else None
            made = _credited(app, touchpoints, opened)
            for table, rows in zip(("credits", "opens"), made, strict=True):
                token = self._state.token(f"{table}-{labels['version']}-{part}")
                if len(rows):
                    block = _core.native(rows, list(labels.items()))
                    self._warehouse.insert(table, block, token)

    def _table(self, query: str, values: Mapping[str, object]) -> Table:
        return Table.read(self._warehouse.arrow(query, values))


def _kept(app_id: str) -> str:
    return f"kept {app_id}"


def _parts(count: int) -> Iterator[dict[str, uuid.UUID]]:
    """All UUIDs in ranges as the warehouse orders them: by their second half first."""
    bounds = [(number << 64) // count for number in range(count + 1)]
    for first, end in itertools.pairwise(bounds):
        yield {"first": uuid.UUID(int=first), "last": uuid.UUID(int=_FIRST_HALF | (end - 1))}


def _credited(
    app: App, touchpoints: Table, opened: Table | None
) -> tuple[_core.Batches, _core.Batches]:
    """Rows of `credits` and of `opens`."""
    return _core.credits(
        touchpoints.batches,
        None if opened is None else opened.batches,
        conversions=list(app.settings.conversions),
        click_lookback_us=app.settings.click_lookback_us,
        view_lookback_us=app.settings.view_lookback_us,
        policy=app.settings.policy,
    )


def rules_of(app: App) -> str:
    """The settings that credit depends on, in one canonical text."""
    settings = app.settings
    rules: dict[str, object] = {
        "conversions": sorted(settings.conversions),
        "click_lookback_us": settings.click_lookback_us,
        "view_lookback_us": settings.view_lookback_us,
        "policy": settings.policy,
    }
    # What was applied before there were cuts has none.
    if settings.cut:
        rules["cut"] = list(settings.cut)
    return json.dumps(rules)
