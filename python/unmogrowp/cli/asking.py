"""Questions to the running server, found by what it left in the data directory."""

import argparse
import contextlib
import http.client
import json
import shutil
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, final

from unmogrowp.cli.options import settings_of
from unmogrowp.errors import UnmogrowpError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT_S = 300.0
CHUNK_BYTES = 1 << 20
FILE = "server.json"


@final
class Server:
    """The server of a data directory, as its owner may ask it."""

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / FILE
        try:
            left = json.loads(path.read_text())
            self.url, self._token = str(left["url"]), str(left["token"])
        except FileNotFoundError:
            raise UnmogrowpError(
                f"no server runs on `{data_dir}`\n"
                "hint: start it with `unmogrowp serve`, or name its directory with --data-dir"
            ) from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UnmogrowpError(
                f"cannot read `{path}`: {why}\nhint: run this as the user who runs the server"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UnmogrowpError(f"`{path}` is broken\nhint: restart the server") from error

    @contextlib.contextmanager
    def get(
        self, route: str, query: "Mapping[str, str | None]", accept: str
    ) -> "Iterator[http.client.HTTPResponse]":
        """A good answer, to be read while the context lasts.

        Raises:
            UnmogrowpError: The server is gone, refuses, or its answer breaks off.
        """
        with self.ask("GET", route, query, accept) as answer:
            yield answer

    @contextlib.contextmanager
    def ask(
        self, method: str, route: str, query: "Mapping[str, str | None]", accept: str
    ) -> "Iterator[http.client.HTTPResponse]":
        """As `get`, with another method."""
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{route}?{urllib.parse.urlencode(given)}"
        address = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=TIMEOUT_S
        )
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
        with contextlib.closing(connection):
            try:
                connection.request(method, target, headers=headers)
                answer = connection.getresponse()
                if answer.status != http.client.OK:
                    raise _refusal(answer)
                yield answer
            except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
                raise UnmogrowpError(
                    f"the server at `{self.url}` does not answer: {str(error).lower()}\n"
                    "hint: is it still running? Start it with `unmogrowp serve`"
                ) from error


def copy(answer: http.client.HTTPResponse, file: BinaryIO) -> None:
    """The whole body of an answer into a file.

    Raises:
        UnmogrowpError: The answer broke off.
    """
    try:
        shutil.copyfileobj(answer, file, CHUNK_BYTES)
        # A short body of known length ends as quietly as a whole one.
        is_whole = not answer.length
    except http.client.IncompleteRead:
        is_whole = False
    if not is_whole:
        raise UnmogrowpError(
            "the server's answer broke off\nhint: its log says why; then ask again"
        )


def add_span(parser: argparse.ArgumentParser) -> None:
    """Add which app's events are meant, and of what time."""
    parser.add_argument("--app", required=True, help="id of the app")
    parser.add_argument("--from", dest="start", metavar="TIME", help="first date or instant")
    parser.add_argument("--to", dest="stop", metavar="TIME", help="first date or instant after it")
    parser.add_argument("--tz", metavar="ZONE", help="zone of dates, e.g. Asia/Tokyo (default UTC)")


def span(options: argparse.Namespace) -> dict[str, str | None]:
    """What `add_span` took, as the server names it."""
    return {"app_id": options.app, "from": options.start, "to": options.stop, "tz": options.tz}


def server_of(options: argparse.Namespace) -> Server:
    """The server of the data directory."""
    return Server(settings_of(options).data_dir)


def _refusal(answer: http.client.HTTPResponse) -> UnmogrowpError:
    body = answer.read()
    said = ""
    with contextlib.suppress(ValueError, AttributeError):
        problem = json.loads(body)
        said = str(problem.get("detail") or problem.get("title") or "")
    return UnmogrowpError(said or f"the server answered `{answer.status} {answer.reason}`")
