"""Who may write, as the native listener asks it."""

from http import HTTPStatus

from unmogrowp.errors import Refused
from unmogrowp.server.auth import Access, Caller
from unmogrowp.server.problems import Denied, unexpected


class Gate:
    """Answers for a key and an address; called from threads of the listener."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def __call__(self, key: str | None, peer: str) -> tuple[str, str, bool]:
        """The id of the key's app, the id of the key, and whether addresses are cut.

        Raises:
            Refused: No key that may write.
        """
        try:
            app, key_id = self._access.writer(Caller(key, peer))
        except Denied as denied:
            title = HTTPStatus(denied.status).phrase
            raise Refused(denied.status, title, denied.detail, denied.retry_after) from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is answered
            status, detail = unexpected(error)
            raise Refused(status, HTTPStatus(status).phrase, detail, None) from None
        return app.id, key_id, app.settings.truncate_ip
