"""How keys look: made, recognised, mistyped."""

import zlib
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from application.access import key_text
from application.access.key_text import checksum, digest_of, hint_of, may_be_a_key, new_key, read_digest

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEYS = st.text(LETTERS, min_size=32, max_size=32).map(lambda body: f"cm_live_{body}{checksum(body)}")


def test_a_new_key() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert len(key) == 8 + 32 + 6
        assert may_be_a_key(key)
        assert key.isascii()
        assert hint_of(key) == key[:12]


@given(st.text(LETTERS, min_size=32, max_size=32))
def test_the_checksum_is_crc32_in_base_62(body: str) -> None:
    number = 0
    for letter in checksum(body):
        number = number * 62 + LETTERS.index(letter)
    assert len(checksum(body)) == 6
    assert number == zlib.crc32(body.encode())


@given(KEYS, st.integers(8, 45), st.sampled_from(LETTERS))
def test_a_mistyped_key_is_seen_before_any_lookup(key: str, place: int, letter: str) -> None:
    typed = key[:place] + letter + key[place + 1 :]
    assert may_be_a_key(typed) == (typed == key)


@given(KEYS, st.integers(8, 44))
def test_a_cut_key_is_none(key: str, length: int) -> None:
    assert not may_be_a_key(key[:length])
    assert not may_be_a_key(key + "0")


@given(st.text(max_size=60))
def test_any_text_is_answered(text: str) -> None:
    assert may_be_a_key(text) in {True, False}
    if not text.isascii() or " " in text:
        assert not may_be_a_key(text)


def test_imported_keys_may_look_in_any_other_way() -> None:
    assert may_be_a_key("sk-older.system/key+1=")
    assert may_be_a_key("k" * key_text.LONGEST)
    assert not may_be_a_key("k" * (key_text.LONGEST + 1))
    assert not may_be_a_key("")
    assert not may_be_a_key("two words")
    assert not may_be_a_key("line\n")


def test_what_is_kept_is_its_sha256() -> None:
    assert digest_of("cm_live_x") == sha256(b"cm_live_x").digest()


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_is_read_back(digest: bytes) -> None:
    assert read_digest(digest.hex()) == read_digest(f" {digest.hex().upper()}\n") == digest


@given(st.text(max_size=70))
def test_anything_else_is_no_digest(text: str) -> None:
    digest = read_digest(text)
    assert digest is None or len(digest) == 32


def test_spaces_within_a_digest_are_none_of_ours() -> None:
    assert read_digest("ab " * 21 + "a") is None
    assert read_digest("ab" * 31) is None
