"""How an API key looks: `cm_live_`, 32 random characters, and 6 of a checksum (SERVER 3).

The checksum tells a mistyped or cut key, or something else altogether, from one that may be known, before anything is
looked up; it protects nothing. Who has the text has the key, so only its SHA-256 is kept.
"""

from __future__ import annotations

import hmac
import re
import secrets
import zlib
from hashlib import sha256

PREFIX = "cm_live_"
RANDOM, CHECKSUM = 32, 6
"""Characters of each part: 32 of 62 are 190 bits of chance; 6 hold any CRC-32."""
HINT = len(PREFIX) + 4
"""Characters of a key that lists show: enough to recognise it by, of no use to guess the rest."""
LONGEST = 512
"""Characters of a key that was made elsewhere and imported; anything longer is no key."""
DIGEST_BYTES = 32

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{RANDOM}}})([0-9A-Za-z]{{{CHECKSUM}}})")
_PRINTABLE = re.compile(rf"[\x21-\x7e]{{1,{LONGEST}}}")
_HEX = re.compile(r"[0-9A-Fa-f]{64}")


def new_key() -> str:
    """A key that nobody else has, from the operating system's randomness."""
    body = "".join(secrets.choice(_LETTERS) for _ in range(RANDOM))
    return f"{PREFIX}{body}{checksum(body)}"


def checksum(body: str) -> str:
    """CRC-32 of the random part (ASCII), base 62, the most significant character first."""
    number = zlib.crc32(body.encode("ascii"))
    letters = []
    for _ in range(CHECKSUM):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(reversed(letters))


def may_be_a_key(text: str) -> bool:
    """Whether looking the text up makes sense: our form with the right checksum, or an imported key of any other form.

    What begins like ours and is not right is mistyped or cut.
    """
    if not text.startswith(PREFIX):
        return _PRINTABLE.fullmatch(text) is not None
    parts = _SHAPE.fullmatch(text)
    return parts is not None and hmac.compare_digest(checksum(parts[1]), parts[2])


def digest_of(text: str) -> bytes:
    """What is kept of a key: SHA-256 of it as it is sent."""
    return sha256(text.encode()).digest()


def hint_of(text: str) -> str:
    """How the key begins, for lists."""
    return text[:HINT]


def read_digest(text: str) -> bytes | None:
    """SHA-256 given as 64 hexadecimal digits, with or without spaces around it; None where it is anything else."""
    stripped = text.strip()
    return bytes.fromhex(stripped) if _HEX.fullmatch(stripped) else None
