"""The engine in this process, asked for Arrow that is not copied on its way."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import pyarrow as pa
    from chdb import query_result

_CODE = re.compile(r"\bCode: (\d+)\.")
_PARAMETER = "param_"


class EngineError(Exception):
    """What the engine said, and its code where it said one."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        found = _CODE.search(said)
        self.code = int(found[1]) if found else None


@final
class Engine:
    """A connection of its own to the engine of a directory, for one thread at a time.

    Args:
        path: The directory; the engine compares paths as text, so links are followed first.
        settings: Of every query.
    """

    def __init__(self, path: str, settings: Mapping[str, object]) -> None:
        import chdb

        self._connection = chdb.connect(os.path.realpath(path))
        for name, value in settings.items():
            self._ask(f"SET {name} = '{value}'", "TabSeparated", {})

    def arrow(self, sql: str, values: Mapping[str, object]) -> "pa.Table":
        """The answer to a query, whose memory stays the engine's until nobody uses it."""
        import pyarrow as pa
        from clickhouse_connect.driver.binding import bind_query

        bound, parameters = bind_query(sql, dict(values))
        named = {name.removeprefix(_PARAMETER): value for name, value in parameters.items()}
        answer = self._ask(bound, "Arrow", named)
        view = answer.get_memview()
        seen = pa.py_buffer(view.view())
        # The view does not keep what it shows alive: the buffer does.
        kept = pa.foreign_buffer(seen.address, seen.size, base=(answer, view))
        return pa.ipc.open_file(kept).read_all()

    def close(self) -> None:
        """Let the engine go; what it answered stays."""
        self._connection.close()

    def _ask(self, sql: str, form: str, parameters: Mapping[str, str]) -> "query_result":
        try:
            return self._connection.query(sql, form, params=parameters)
        except RuntimeError as error:
            # What it had written of the answer would come before the next one.
            with suppress(RuntimeError):
                self._connection.query("SELECT 1", "TabSeparated")
            raise EngineError(str(error)) from error
