"""API keys: made, imported by their SHA-256, revoked, listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from application.access.access import Access
from application.access.authors import Author, raise_unless_given
from application.access.checks import raise_on_mistakes
from application.access.errors import NotAllowed
from application.access.identity import Identity, Role, allows
from application.access.ids import new_id
from application.access.key_text import digest_of, hint_of, new_key
from application.errors import ErrorCode, Failed
from streams.access.records import AccessKey, Thing
from streams.access.state import AccessState


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """What was asked for. `account_id` None: every account (producer, operator); `expires_at` in ms, None: never."""

    role: Role
    account_id: str | None = None
    actor: str | None = None
    name: str = ""
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `text` is the key itself: it is shown once and kept nowhere."""

    text: str
    key: AccessKey


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as lists show it. `used_at`: when it was used last, ms, to the hour; None: never."""

    key: AccessKey
    used_at: int | None


def create_key(access: Access, author: Author, order: KeyOrder) -> NewKey:
    """Make a key and write its SHA-256. Raises BadAccessFields, NotAllowed, AccessUnavailable."""
    text = new_key()
    return NewKey(text, _write(access, author, order, digest_of(text), hint_of(text), "key.created"))


def import_key(access: Access, author: Author, order: KeyOrder, digest: bytes) -> AccessKey:
    """Take over a key that was made elsewhere, by its SHA-256 (see `key_text.read_digest`).

    Raises Failed (CONFLICT) where the key is known, and as `create_key`.
    """
    return _write(access, author, order, digest, "", "key.imported")


def _write(
    access: Access, author: Author, order: KeyOrder, digest: bytes, hint: str, action: str
) -> AccessKey:  # fmt: skip
    fields = {
        "role": order.role, "account_id": order.account_id, "actor": order.actor, "name": order.name,
        "expires_at": order.expires_at,
    }  # fmt: skip
    now = access.now()
    raise_on_mistakes(fields, now)
    raise_unless_given(author, order.role, order.account_id)
    key = AccessKey(
        key_id=new_id("key"), digest=digest, role=order.role, account_id=order.account_id, actor=order.actor,
        name=order.name, hint=hint, created_at=now, created_by=author.name, created_from=author.address,
        expires_at=order.expires_at,
    )  # fmt: skip

    def decide(state: AccessState) -> Sequence[Thing]:
        if (known := state.find(digest)) is not None:
            raise Failed(f"this key is known already, as {known.key_id}", ErrorCode.CONFLICT)
        return [key]

    access.change(author, action, key.key_id, decide, order.account_id, role=order.role, name=order.name)
    return key


def revoke_key(access: Access, author: Author, key_id: str) -> AccessKey:
    """End a key for ever. One that was revoked before stays as it is, with who did it first.

    Raises Failed (NOT_FOUND), also for another account's key; NotAllowed; AccessUnavailable.
    """
    access.read_to_end()
    known = _visible(access.state, author.identity, key_id)
    raise_unless_given(author, Role(known.role), known.account_id)
    if known.revoked_at is not None:
        return known
    revoked: list[AccessKey] = []

    def decide(state: AccessState) -> Sequence[Thing]:
        key = state.key(key_id) or known
        revoked[:] = [key]
        if key.revoked_at is None:
            revoked[:] = [
                replace(
                    key, revoked_at=access.now(), revoked_by=author.name, revoked_from=author.address,
                    revision=key.revision + 1,
                )
            ]  # fmt: skip
            return revoked
        return []

    access.change(author, "key.revoked", key_id, decide, known.account_id, role=known.role, name=known.name)
    return revoked[0]


def list_keys(access: Access, identity: Identity, account_id: str | None = None) -> list[ListedKey]:
    """The keys that the identity may see, newest first; `account_id`: only that account's.

    An operator without `account_id` sees all of them, an owner those of the customer's ladder in the own account.
    Raises NotAllowed.
    """
    is_visible = _sight(identity)
    if account_id is None and identity.role is Role.OPERATOR:
        keys = access.state.all_keys()
    else:
        account_id = identity.account_id if account_id is None else account_id
        if account_id is None or not allows(identity, Role.OWNER, account_id):
            raise NotAllowed("keys are for an owner of the account to see")
        keys = access.state.keys(account_id)
    visible = sorted((key for key in keys if is_visible(key)), key=lambda key: key.created_at, reverse=True)
    return [ListedKey(key, access.state.key_used_at(key.key_id)) for key in visible]


def _sight(identity: Identity) -> Callable[[AccessKey], bool]:
    """Which keys there are for this identity."""
    if identity.role is Role.OPERATOR:
        return lambda _key: True
    return lambda key: key.account_id == identity.account_id and key.role in {Role.MEMBER, Role.OWNER}


def _visible(state: AccessState, identity: Identity, key_id: str) -> AccessKey:
    """Raises Failed (NOT_FOUND) where there is no such key for this identity."""
    key = state.key(key_id)
    if key is None or not _sight(identity)(key):
        raise Failed(f"there is no key {key_id}", ErrorCode.NOT_FOUND)
    return key
