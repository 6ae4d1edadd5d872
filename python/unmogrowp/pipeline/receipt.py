"""What was erased, signed by the data directory it was erased from."""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from unmogrowp import _core

KEY_FILE = "receipts.key"
KEY_BYTES = 32
SIGNATURE, PUBLIC_KEY = "signature", "public_key"
Receipt = dict[str, object]


def receipt(home: Path, app_id: str, kind: str, value: str, gone: Mapping[str, int]) -> Receipt:
    """What was done, without saying to whom: the id is told by a salted digest only.

    The signature is Ed25519 (RFC 8032) of the other fields as JSON with sorted keys and no spaces.
    """
    salt = secrets.token_hex(16)
    secret = _secret(home / KEY_FILE)
    fields: Receipt = {
        "app_id": app_id,
        "id_kind": kind,
        "salt": salt,
        "id_sha256": hashlib.sha256(f"{salt}{value}".encode()).hexdigest(),
        "erased_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": dict(gone),
        PUBLIC_KEY: public_key(home),
    }
    _, signature = _core.seal(secret, _message(fields))
    return {**fields, SIGNATURE: base64.b64encode(bytes(signature)).decode()}


def public_key(home: Path) -> str:
    """The key by which the receipts of a data directory are known."""
    public, _ = _core.seal(_secret(home / KEY_FILE), b"")
    return base64.b64encode(bytes(public)).decode()


def is_genuine(given: Mapping[str, object]) -> bool:
    """Whether a receipt is as its public key signed it."""
    fields = {name: value for name, value in given.items() if name != SIGNATURE}
    try:
        public, signature = (_bytes(given.get(name)) for name in (PUBLIC_KEY, SIGNATURE))
    except ValueError:
        return False
    return _core.is_sealed(public, _message(fields), signature)


def _bytes(text: object) -> bytes:
    return base64.b64decode(text, validate=True) if isinstance(text, str) else b""


def _message(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _secret(path: Path) -> bytes:
    """The key of a data directory, made when it is first needed."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(KEY_BYTES))
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.rename(path)
    return path.read_bytes()
