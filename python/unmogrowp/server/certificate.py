"""The certificate of the native listener: two files, read again when they change."""

import logging
from pathlib import Path
from typing import final

from unmogrowp import _core
from unmogrowp.errors import ConfigError

log = logging.getLogger("unmogrowp.ingest")


@final
class CertificateFiles:
    """A chain, the server's own certificate first, and its private key, both as PEM."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._files = (chain, key)
        self._seen: list[tuple[int, int, int]] | None = None

    def read(self) -> _core.Certificate:
        """What the files hold now.

        Raises:
            ConfigError: One of them cannot be read, or they do not belong together.
        """
        chain, key = self._files
        try:
            self._seen = self._stamps()
            return _core.Certificate(chain.read_bytes(), key.read_bytes())
        except OSError as error:
            raise ConfigError(
                f"cannot read `{error.filename}`: {(error.strerror or str(error)).lower()}\n"
                "hint: give files that exist and that the server may read"
            ) from error
        except ValueError as error:
            what, _, hint = str(error).partition("\n")
            raise ConfigError(f"`{chain}` with `{key}`: {what}\n{hint}") from error

    def keep_fresh(self, listener: _core.Listener) -> None:
        """Have the listener use what the files hold now, if they changed.

        What cannot be used is said once, and changes nothing until the files change again.
        """
        try:
            if self._stamps() == self._seen:
                return
        except OSError:
            # Between two names of a file that is being replaced.
            return
        try:
            listener.renew(self.read())
        except ConfigError as error:
            log.warning("the certificate stays as it was: %s", error)
        else:
            log.info("the certificate was renewed")

    def _stamps(self) -> list[tuple[int, int, int]]:
        stats = [file.stat() for file in self._files]
        return [(stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats]
