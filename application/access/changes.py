"""Who changed what, when and from where: the list that owners and operators read (SERVER 3)."""

from __future__ import annotations

from collections import deque

from application.access.access import Access, translated_log_errors
from application.access.errors import NotAllowed
from application.access.identity import Action, Identity, Role, allows
from streams.access.records import ChangeRecord

MOST = 10_000
"""Changes of one answer."""
_SKEW_MS = 10 * 60_000
"""A change's time is its process's clock, the record's the broker's: by so much they may differ."""


def list_changes(
    access: Access, identity: Identity, account_id: str | None = None, *,
    since: int = 0, until: int | None = None, limit: int = 100,
) -> list[ChangeRecord]:  # fmt: skip
    """The newest changes with since <= at < until (ms), newest first; `account_id` None: of all accounts.

    Reads the topic from `since` on, so it may take a while where that is long ago: call it in a thread. An owner sees
    those of the own account. Raises NotAllowed, AccessUnavailable, Failed.
    """
    if account_id is None and identity.role is not Role.OPERATOR:
        account_id = identity.account_id
    if not allows(identity, Action.READ_CHANGES, account_id):
        raise NotAllowed("changes are for an owner of the account, or an operator, to see")
    newest: deque[ChangeRecord] = deque(maxlen=max(1, min(limit, MOST)))
    with translated_log_errors():
        first, end = access.reader.bounds()
        if since > 0:
            first = max(first, access.reader.offset_at(max(1, since - _SKEW_MS)))
        for _offset, record in access.reader.read(first, end):
            if (
                isinstance(record, ChangeRecord)
                and since <= record.at
                and (until is None or record.at < until)
                and account_id in {None, record.account_id}
            ):
                newest.append(record)
    return list(reversed(newest))
