"""The native listener around the same intake and the same keys."""

from dataclasses import replace
from pathlib import Path
from typing import final

from unmogrowp import _core
from unmogrowp.catalog import Catalog, KeyRing
from unmogrowp.server.certificate import CertificateFiles
from unmogrowp.server.child import Orders
from unmogrowp.server.gate import Gate
from unmogrowp.server.services import Services


@final
class NativeListener:
    """Serves until it is closed, with the certificate that its files hold."""

    def __init__(
        self, orders: Orders, port: int, catalog: Catalog, services: Services, connections_max: int
    ) -> None:
        files = orders.ingest_certificate
        self._files = files and CertificateFiles(*map(Path, files))
        # It believes an answer as long as a ring does, so this one must not believe it before.
        access = replace(services.access, ring=KeyRing(catalog, fresh_s=0.0))
        self._listener = _core.Listener(
            services.bridge.intake,
            Gate(access),
            host=orders.host,
            port=port,
            connections_max=connections_max,
            body_bytes_max=orders.limits["body_bytes"],
            body_seconds=orders.limits["body_seconds"],
            certificate=self._files and self._files.read(),
        )

    def keep_fresh(self) -> None:
        """Use what the files of the certificate hold now."""
        if self._files:
            self._files.keep_fresh(self._listener)

    def close(self) -> None:
        """Accept nothing more, finish the requests at hand and end."""
        self._listener.close()
