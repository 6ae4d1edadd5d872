"""The receipt of an erasure: what it says, and that nobody can make or change one."""

import base64
import datetime as dt
import hashlib
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from unmogrowp.pipeline.receipt import KEY_BYTES, KEY_FILE, Receipt, is_genuine, public_key, receipt

ROWS = {"events": 3, "credits": 2}


@pytest.fixture
def given(tmp_path: Path) -> Receipt:
    return receipt(tmp_path, "com.example", "user_id", "ana", ROWS)


def test_it_says_what_was_done_and_not_to_whom(tmp_path: Path, given: Receipt) -> None:
    assert list(given) == [
        "app_id",
        "id_kind",
        "salt",
        "id_sha256",
        "erased_at",
        "rows",
        "public_key",
        "signature",
    ]
    assert (given["app_id"], given["id_kind"], given["rows"]) == ("com.example", "user_id", ROWS)
    assert given["public_key"] == public_key(tmp_path)
    assert "ana" not in json.dumps(given)
    salt = str(given["salt"])
    assert given["id_sha256"] == hashlib.sha256(f"{salt}ana".encode()).hexdigest()
    # 128 bits, so that nobody tries all ids beforehand.
    assert len(bytes.fromhex(salt)) == 16
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(str(given["erased_at"]))
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=1)


def test_two_receipts_of_one_person_do_not_show_that_they_are(tmp_path: Path) -> None:
    one, two = (receipt(tmp_path, "com.example", "user_id", "ana", ROWS) for _ in range(2))
    assert one["salt"] != two["salt"]
    assert one["id_sha256"] != two["id_sha256"]
    assert one["public_key"] == two["public_key"]


def test_any_implementation_of_ed25519_can_check_it(given: Receipt) -> None:
    fields = {name: value for name, value in given.items() if name != "signature"}
    message = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    public, signature = (base64.b64decode(str(given[n])) for n in ("public_key", "signature"))
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)


def test_it_is_genuine_as_it_is_in_whatever_order(given: Receipt) -> None:
    assert is_genuine(given)
    assert is_genuine(dict(reversed(given.items())))
    assert is_genuine(json.loads(json.dumps(given)))


@pytest.mark.parametrize(
    "changed",
    [
        {"app_id": "com.other"},
        {"rows": {"events": 4, "credits": 2}},
        {"rows": {"events": 3}},
        {"more": 1},
        {"version": 1},
        {"signature": ""},
        {"signature": None},
        {"signature": "not base64!"},
        {"signature": "AAAA" * 21 + "AA=="},
        {"public_key": None},
        {"public_key": 7},
        {"public_key": "not base64!"},
        {"public_key": base64.b64encode(bytes(32)).decode()},
    ],
)
def test_nothing_in_it_can_be_changed(given: Receipt, changed: Receipt) -> None:
    assert not is_genuine(given | changed)


def test_characters_that_are_no_base64_are_not_read_over(given: Receipt) -> None:
    signature = str(given["signature"])
    assert not is_genuine(given | {"signature": f"{signature[:10]}!{signature[10:]}"})


@pytest.mark.parametrize("name", ["signature", "public_key", "app_id"])
def test_nothing_in_it_can_be_left_out(given: Receipt, name: str) -> None:
    assert not is_genuine({key: value for key, value in given.items() if key != name})


def test_nobody_else_signs_for_a_data_directory(tmp_path: Path, given: Receipt) -> None:
    other = tmp_path / "other"
    other.mkdir()
    forged = receipt(other, "com.example", "user_id", "ana", ROWS)
    assert is_genuine(forged)
    assert forged["public_key"] != given["public_key"]
    assert not is_genuine(forged | {"public_key": given["public_key"]})


def test_the_key_is_made_once_and_its_owners_alone(tmp_path: Path) -> None:
    assert not (tmp_path / KEY_FILE).exists()
    first = public_key(tmp_path)
    key = tmp_path / KEY_FILE
    secret = key.read_bytes()
    assert len(secret) == KEY_BYTES
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert public_key(tmp_path) == first
    assert key.read_bytes() == secret
