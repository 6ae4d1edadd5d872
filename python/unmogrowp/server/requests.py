"""The id of the request at hand: in its answer, and in every line that is logged about it."""

import itertools
import re
import secrets
from contextvars import ContextVar

HEADER = "x-request-id"
current: ContextVar[str | None] = ContextVar("request_id", default=None)
_OURS = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Unlike those of any other process, and as cheap as counting.
_PREFIX = secrets.token_hex(6)
_numbers = itertools.count(1)


def begin(given: str | None) -> str:
    """The id a proxy gave, where it is one, or a new one; logged from here on.

    >>> begin("edge-7")
    'edge-7'
    >>> begin("no id") == begin(None)
    False
    """
    is_given = given is not None and _OURS.fullmatch(given)
    request_id = given if given and is_given else f"{_PREFIX}-{next(_numbers):x}"
    current.set(request_id)
    return request_id
