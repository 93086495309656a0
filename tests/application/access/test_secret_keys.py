"""HKDF by the published test vectors, and what is made with it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.access.secret_keys import BadToken, Purpose, SecretKeys, Signer, hkdf, webhook_secrets

SECRETS = st.binary(min_size=32, max_size=64)
ONE, OTHER = SecretKeys([b"1" * 32]), SecretKeys([b"2" * 32])
ROTATED = SecretKeys([b"2" * 32, b"1" * 32])


@pytest.mark.parametrize(
    ("secret", "salt", "info", "length", "made"),
    [  # RFC 5869, appendix A.1 to A.3
        (
            "0b" * 22, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", 42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)).hex(), bytes(range(0x60, 0xB0)).hex(), bytes(range(0xB0, 0x100)).hex(), 82,
            (
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da32"
                "75600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
            ),
        ),
        (
            "0b" * 22, "", "", 42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)  # fmt: skip
def test_the_published_vectors(secret: str, salt: str, info: str, length: int, made: str) -> None:
    assert hkdf(bytes.fromhex(secret), bytes.fromhex(salt), bytes.fromhex(info), length).hex() == made


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_lengths_that_cannot_be(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 8160"):
        hkdf(b"s", b"", b"", length)
    assert len(hkdf(b"s", b"", b"", 255 * 32)) == 255 * 32


@given(SECRETS, SECRETS)
def test_every_purpose_and_secret_has_a_key_of_its_own(one: bytes, other: bytes) -> None:
    made = {
        (purpose, context, secret): key
        for purpose in Purpose
        for context in (b"", b"a")
        for secret, key in zip((one, other), SecretKeys([one, other]).derived(purpose, context), strict=True)
    }
    assert len(set(made.values())) == len(made)


@given(st.binary(max_size=80), st.sampled_from(Purpose))
def test_a_token_says_its_content(content: bytes, purpose: Purpose) -> None:
    token = Signer(ONE, purpose).sign(content)
    assert Signer(ONE, purpose).read(token) == content
    assert Signer(ROTATED, purpose).read(token) == content
    with pytest.raises(BadToken):
        Signer(OTHER, purpose).read(token)
    for another in set(Purpose) - {purpose}:
        with pytest.raises(BadToken):
            Signer(ONE, another).read(token)


def test_a_token_made_after_a_rotation_has_the_new_secret() -> None:
    token = Signer(ROTATED, Purpose.LINK).sign(b"x")
    assert Signer(OTHER, Purpose.LINK).read(token) == b"x"
    with pytest.raises(BadToken):
        Signer(ONE, Purpose.LINK).read(token)


@given(st.binary(max_size=20), st.data())
def test_a_changed_token_is_refused(content: bytes, data: st.DataObject) -> None:
    signer = Signer(ONE, Purpose.CURSOR)
    token = signer.sign(content)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("AQgw-_.=0 \n\u00e9"))
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        with pytest.raises(BadToken):
            signer.read(changed)
    for longer in (token + "=", token + "A", "=" + token, token[:-1], token + "."):
        with pytest.raises(BadToken):
            signer.read(longer)


@given(st.text(max_size=60))
def test_any_text_is_a_bad_token(text: str) -> None:
    with pytest.raises(BadToken):
        Signer(ONE, Purpose.SESSION).read(text)


def test_a_webhook_secret_is_one_of_its_id_and_generation() -> None:
    secrets = {
        secret
        for keys in (ONE, OTHER)
        for webhook in ("wh_1", "wh_2")
        for generation in (1, 2)
        for secret in webhook_secrets(keys, webhook, generation)
    }
    assert len(secrets) == 8
    assert all(len(base64.b64decode(secret.removeprefix("whsec_"))) == 32 for secret in secrets)
    assert webhook_secrets(ROTATED, "wh_1", 1) == webhook_secrets(OTHER, "wh_1", 1) + webhook_secrets(ONE, "wh_1", 1)


def test_no_secret_is_shown() -> None:
    assert "111" not in repr(ONE)
    with pytest.raises(ValueError, match="at least one"):
        SecretKeys([])
