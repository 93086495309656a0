"""Access of one pipeline in one process: the view of it, changes to it, and what is derived from the secret key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import NamedTuple

from application.access.authors import Author
from application.access.errors import AccessUnavailable
from application.access.ids import new_id
from application.access.secret_keys import Purpose, SecretKeys, Signer
from application.configuration.settings import Settings
from application.errors import Failed, Misconfigured
from application.pipeline import Pipeline
from schemas.errors import RegistryUnavailable
from streams import clock
from streams.access.changes import AccessChanges
from streams.access.records import ChangeRecord, KeyUse, Thing
from streams.access.state import AccessState
from streams.access.view import PATIENCE, AccessReader, AccessView
from streams.log.protocols import DeliveryFailed, LogError, LogUnavailable

STALE_SECONDS = 30.0
"""A view that has not reached the end for so long answers nothing (SERVER 3)."""
HOUR = 3_600_000
_USES_AT_ONCE = 10_000


class ChangeNote(NamedTuple):
    """Something that is about to be done: what, the id of its command, whose account, and what else to keep of it."""

    action: str
    subject: str
    account_id: str | None
    details: dict[str, str]


class Access:
    """What the use cases of access take. `now` gives ms, UTC. Safe in any thread."""

    def __init__(
        self, reader: AccessReader, view: AccessView, changes: AccessChanges, secret_keys: SecretKeys | None = None,
        now: Callable[[], int] = clock.now_ms,
    ) -> None:  # fmt: skip
        self.reader = reader
        self.view = view
        self.now = now
        self._changes = changes
        self._secret_keys = secret_keys
        self._uses: dict[str, int] = {}

    @property
    def state(self) -> AccessState:
        """As new as the last look at the topic's end; never waits."""
        return self.view.state

    @property
    def secret_keys(self) -> SecretKeys:
        """What tokens are made with. Raises Misconfigured where there is no secret."""
        if self._secret_keys is None:
            raise Misconfigured(
                "secret_key is not set: links, sessions, cursors and webhooks need one, the same for every server: "
                "32 random characters or more, as `openssl rand -hex 32` makes them (`creditmeter up` makes its own)"
            )
        return self._secret_keys

    @cached_property
    def link_signer(self) -> Signer:
        """Makes and reads links. Raises Misconfigured."""
        return Signer(self.secret_keys, Purpose.LINK)

    @cached_property
    def session_signer(self) -> Signer:
        """Makes and reads sessions. Raises Misconfigured."""
        return Signer(self.secret_keys, Purpose.SESSION)

    @cached_property
    def csrf_signer(self) -> Signer:
        """Makes and reads the tokens of forms. Raises Misconfigured."""
        return Signer(self.secret_keys, Purpose.CSRF)

    @cached_property
    def cursor_signer(self) -> Signer:
        """Makes and reads cursors of long lists. Raises Misconfigured."""
        return Signer(self.secret_keys, Purpose.CURSOR)

    def follow(self) -> None:
        """Keep the view as new as the topic, and write uses of keys, in a thread until `close`."""
        self.view.follow(tick=self.write_uses)

    def raise_if_stale(self) -> None:
        """Raises AccessUnavailable where the end has not been reached for `STALE_SECONDS`."""
        if (age := self.view.age()) > STALE_SECONDS:
            since = "not yet" if age == float("inf") else f"not for {age:.0f} s"
            raise AccessUnavailable(
                f"who may do what cannot be known: its topic was {since} read to the end; try again"
            )

    def read_to_end(self) -> None:
        """Return when all is read that was written before this call. Raises AccessUnavailable, Failed."""
        with translated_log_errors():
            self.view.read_to_end()

    def change(
        self, author: Author, action: str, subject: str, decide: Callable[[AccessState], Sequence[Thing]],
        account_id: str | None = None, **details: str,
    ) -> None:  # fmt: skip
        """Write what `decide` makes of the newest state, and who did it; see `AccessChanges.change`.

        Raises what `decide` raises, AccessUnavailable where nobody knows whether it is made, Failed.
        """
        record = self._change_record(author, action, subject, account_id, details)
        with translated_log_errors():
            self._changes.change(record, decide)

    def note_change(
        self, author: Author, action: str, subject: str, account_id: str | None = None, **details: str
    ) -> None:
        """Write who does something that is no change of access: a grant, a refund, settings, a replay.

        Call it before the thing is sent, so that none is missing from the list; what came of it is in the log under the
        id that `subject` names. Raises AccessUnavailable, Failed.
        """
        with translated_log_errors():
            self._changes.note([self._change_record(author, action, subject, account_id, details)])

    def note_changes(self, author: Author, notes: Sequence[ChangeNote]) -> None:
        """Write several at once, all or none; see `note_change`. Raises AccessUnavailable, Failed."""
        records = [self._change_record(author, *note) for note in notes]
        with translated_log_errors():
            self._changes.note(records)

    def _change_record(
        self, author: Author, action: str, subject: str, account_id: str | None, details: dict[str, str]
    ) -> ChangeRecord:
        return ChangeRecord(
            change_id=new_id("chg"), at=self.now(), changed_by=author.name, changed_from=author.address, action=action,
            account_id=account_id, subject=subject, details=details,
        )  # fmt: skip

    def note_use(self, key_id: str) -> None:
        """Remember that a key is used; written later, by `write_uses`. Never waits."""
        hour = self.now() // HOUR * HOUR
        if (self.state.key_used_at(key_id) or 0) < hour:
            self._uses[key_id] = hour

    def write_uses(self) -> None:
        """Write the uses of keys that are not written yet. Raises AccessUnavailable, Failed; then they stay noted."""
        uses = list(self._uses.items())[:_USES_AT_ONCE]
        if not uses:
            return
        with translated_log_errors():
            self._changes.note([KeyUse(key_id=key_id, used_at=hour) for key_id, hour in uses])
        for key_id, hour in uses:
            if self._uses.get(key_id) == hour:
                del self._uses[key_id]

    def close(self) -> None:
        """Write what is noted, where Kafka answers, and end the thread and the writer."""
        self.view.close()
        if self.view.age() <= PATIENCE:  # else it would be waited for in vain
            with suppress(AccessUnavailable, Failed):
                self.write_uses()
        self._changes.close()


@contextmanager
def opened_access(pipeline: Pipeline, secret_keys: SecretKeys | None = None) -> Iterator[Access]:
    """The access of a pipeline, read to its end. Call `follow` where it lives longer than one question.

    Raises AccessUnavailable, Failed.
    """
    connections = pipeline.connections
    with translated_log_errors():
        reader = AccessReader(connections.access_log(), pipeline.names.access, pipeline.seals, pipeline.codec)
        view = AccessView(reader)
        access = Access(reader, view, AccessChanges(view, connections.access_writer(), pipeline.codec), secret_keys)
        try:
            view.read_to_end()
            yield access
        finally:
            access.close()


@contextmanager
def translated_log_errors() -> Iterator[None]:
    """Turns what the topic raises into errors of use cases."""
    try:
        yield
    except (LogUnavailable, DeliveryFailed, RegistryUnavailable) as error:
        raise AccessUnavailable(str(error)) from error
    except LogError as error:
        raise Failed(str(error)) from error


def secret_keys_of(settings: Settings) -> SecretKeys | None:
    """The configured secrets, the present one first; None where there is none."""
    if settings.secret_key is None:
        return None
    return SecretKeys([secret.encode() for secret in settings.secret_key.get_secret_value().split(",")])
