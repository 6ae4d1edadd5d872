"""Canonical events in, one row per id out: whose it is, and which event says so."""

from collections.abc import Iterable

from unmogrowp import _core
from unmogrowp.table import ArrowStream, Table


def identities(events: ArrowStream, *, cut: Iterable[tuple[str, str]] = ()) -> Table:
    """Explain who is who.

    A person is a connected component, within one app, of ids seen together on an event. An id seen
    with more than 50 different `user_id`s is shared and joins nobody; one that means nobody
    (`null`, zeros, …) neither; nor does one that is cut.

    Args:
        events: Canonical events, e.g. `ug.parse(…).events`.
        cut: Ids that shall join nobody, as pairs of kind and id: a tablet in a shop, a test
            account. Pass the same to `ug.journeys` and everything follows.

    Returns:
        One row per id, by app, kind and id: `app_id`, `kind`, `id`, `person` (16 bytes, the same
        for all ids of one; null where the id joins nobody), `status`, `joined_to_kind`,
        `joined_to_id`, `joined_at`, `event_id`, `first_seen`, `events`. The status is `joined`,
        `single` (the only id of its person), `shared`, `cut` or `nobody`. What joined an id to
        others is the earliest event that has it together with another id that joins: at
        `joined_at`, under `event_id`, to `joined_to_id`.

    >>> import unmogrowp as ug
    >>> both = b'{"event_name":"open","user_id":"ana","device_id":"d1","timestamp":1767225600}'
    >>> alone = b'{"event_name":"open","device_id":"d2","timestamp":1767229200}'
    >>> shown = identities(ug.parse(b"[%s,%s]" % (both, alone)).events)
    >>> columns = [shown.column(name).to_pylist() for name in ("id", "status", "joined_to_id")]
    >>> list(zip(*columns, strict=True))
    [('ana', 'joined', 'd1'), ('d1', 'joined', 'ana'), ('d2', 'single', None)]
    """
    return Table(_core.identities(Table.read(events).batches, checked(cut)))


def checked(cut: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of kind and id.

    Raises:
        TypeError: Something else.
    """
    pairs = list(cut)
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2):  # noqa: PLR2004 - a pair
            raise TypeError(
                f'cut must be pairs of kind and id, got `{pair!r}`\nhint: [("device_id", "d1")]'
            )
    return pairs
