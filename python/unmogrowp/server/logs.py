"""What the processes of a server log on stderr: a JSON object a line, for people a sentence."""

import datetime as dt
import logging
import sys

import msgspec

from unmogrowp.server import requests


class Lines(logging.Formatter):
    """A record as one line: time, level, process, message, and of which request."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname.lower(),
            "process": self._process,
            "message": record.getMessage(),
        }
        if request_id := requests.current.get():
            line["request_id"] = request_id
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def begin(process: str) -> None:
    """Log what a process says from here on."""
    handler = logging.StreamHandler(sys.stderr)
    for_people = logging.Formatter("%(levelname)s %(message)s")
    handler.setFormatter(for_people if sys.stderr.isatty() else Lines(process))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Its warnings quote what it was sent, which is not ours to keep.
    logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)
