"""What following and changing the topic of access does, whatever log is under it: run in memory and over Kafka."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from schemas.codec import Codec
from streams.access.changes import AccessChanges, UndoesAnEnd
from streams.access.records import KeyUse, Thing
from streams.access.state import AccessState
from streams.access.view import AccessReader, AccessView
from streams.log.access_writer import KeyedRecord, WriteInterrupted
from streams.log.connections import Connections
from streams.log.topics import TopicNames
from tests.streams.access.records import NOW, a_change, a_key, a_link

CODEC = Codec()


@dataclass
class Server:
    """One process's view and writer."""

    connections: Connections
    view: AccessView
    changes: AccessChanges

    def put(self, change_id: str, thing: Thing) -> None:
        self.changes.change(a_change(change_id), lambda _state: [thing])


@dataclass
class Side:
    """A topic under test. `connect` makes the clients of one more process; `put_stray` writes without a seal."""

    names: TopicNames
    connect: Callable[[], Connections]
    put_stray: Callable[[bytes, bytes], None]

    @contextmanager
    def server(self) -> Iterator[Server]:
        connections = self.connect()
        view = AccessView(AccessReader(connections.access_log(), self.names.access, connections.seals(), CODEC))
        changes = AccessChanges(view, connections.access_writer(), CODEC)
        try:
            yield Server(connections, view, changes)
        finally:
            view.close()
            changes.close()
            connections.close()


def renamed(state: AccessState, key_id: str, name: str) -> list[Thing]:
    """An edit of a key that adds to its name: lost edits would be missing from it."""
    key = state.key(key_id)
    assert key is not None
    return [replace(key, name=f"{key.name}{name};", revision=key.revision + 1)]


class AccessContract:
    """A subclass gives the fixture `side` with an empty topic."""

    @pytest.fixture
    def side(self) -> Side:
        raise NotImplementedError

    def test_a_change_holds_for_its_caller_at_once_and_for_others_after_a_look(self, side: Side) -> None:
        with side.server() as one, side.server() as other:
            assert one.view.caught_up_at is None
            other.view.read_to_end()
            one.put("chg_1", a_key())
            assert one.view.state.find(a_key().digest) == a_key()
            assert one.view.state.has_change("chg_1")
            assert other.view.state.find(a_key().digest) is None
            other.view.read_to_end()
            assert other.view.state.find(a_key().digest) == a_key()
            assert other.view.age() < 60

    def test_a_follower_sees_a_change_without_being_asked(self, side: Side) -> None:
        seen = threading.Event()
        with side.server() as one, side.server() as other:
            other.view.follow(0.05, lambda: seen.set() if other.view.state.key("key_1") else None)
            one.put("chg_1", a_key())
            assert seen.wait(30)

    def test_what_decide_raises_ends_the_change_and_writes_nothing(self, side: Side) -> None:
        def refuse(_state: AccessState) -> list[Thing]:
            raise KeyError("no")

        with side.server() as one, side.server() as other:
            with pytest.raises(KeyError):
                one.changes.change(a_change("chg_1"), refuse)
            one.put("chg_2", a_key())
            other.view.read_to_end()
            assert not other.view.state.has_change("chg_1")
            assert other.view.state.has_change("chg_2")

    def test_a_change_that_is_there_is_not_made_again(self, side: Side) -> None:
        with side.server() as one:
            one.put("chg_1", a_key())
            one.changes.change(a_change("chg_1"), lambda state: renamed(state, "key_1", "again"))
            key = one.view.state.key("key_1")
            assert key is not None
            assert key.name == ""

    @pytest.mark.parametrize("revision", [1, 3])
    def test_only_the_next_revision_is_written(self, side: Side, revision: int) -> None:
        with side.server() as one:
            one.put("chg_1", a_key())
            with pytest.raises(UndoesAnEnd, match="2 is the next"):
                one.put("chg_2", a_key(revision=revision))

    def test_no_change_brings_back_a_revoked_key(self, side: Side) -> None:
        with side.server() as one:
            one.put("chg_1", a_key(revoked_at=NOW))
            with pytest.raises(UndoesAnEnd, match="stays so"):
                one.put("chg_2", a_key(revision=2))

    def test_a_writer_that_another_has_fenced_writes_nothing(self, side: Side) -> None:
        record = KeyedRecord(b"key:key_1", CODEC.encode("AccessKey", a_key().fields()))
        with side.server() as one, side.server() as other:
            first, second = one.connections.access_writer(), other.connections.access_writer()
            first.begin()
            second.begin()
            with pytest.raises(WriteInterrupted):
                first.commit([record])
            one.view.read_to_end()
            assert one.view.state.all_keys() == []
            second.commit([record])
            first.begin()
            first.commit([record])
            one.view.read_to_end()
            assert one.view.state.all_keys() == [a_key()]
            first.close()
            second.close()

    def test_uses_of_keys_fence_nobody(self, side: Side) -> None:
        with side.server() as one, side.server() as other:
            writer = one.connections.access_writer()
            writer.begin()
            other.changes.note([KeyUse(key_id="key_1", used_at=NOW), KeyUse(key_id="key_1", used_at=NOW - 1)])
            writer.commit([KeyedRecord(b"key:key_1", CODEC.encode("AccessKey", a_key().fields()))])
            writer.close()
            other.view.read_to_end()
            assert other.view.state.key_used_at("key_1") == NOW
            assert other.view.state.all_keys() == [a_key()]

    def test_expired_links_leave_the_topic_with_a_later_change(self, side: Side) -> None:
        with side.server() as one, side.server() as other:
            one.put("chg_1", a_link())
            assert one.view.state.links("acme") == [a_link()]
            one.put("chg_2", a_key())
            assert one.view.state.links("acme") == []
            other.view.read_to_end()
            assert other.view.state.all_keys() == [a_key()]

    def test_stray_records_open_nothing(self, side: Side, caplog: pytest.LogCaptureFixture) -> None:
        side.put_stray(b"key:key_1", CODEC.encode("AccessKey", a_key(role="operator", account_id=None).fields()))
        with side.server() as one:
            one.view.read_to_end()
            assert one.view.state.all_keys() == []
            assert "stray record without a seal" in caplog.text

    @pytest.mark.slow
    def test_two_writers_lose_no_edit_and_undo_no_revocation(self, side: Side) -> None:
        """200 edits of one key by two processes, while a third revokes another key that both keep editing, too."""
        edits, failures = 100, []
        with side.server() as one, side.server() as other, side.server() as third:
            one.put("chg_a", a_key("key_a"))
            one.put("chg_b", a_key("key_b"))

            def edit(server: Server, name: str) -> None:
                try:
                    for number in range(edits):
                        server.changes.change(
                            a_change(f"chg_{name}_{number}"),
                            lambda state, text=f"{name}{number}": [
                                *renamed(state, "key_a", text), *renamed(state, "key_b", text),
                            ],
                            patience=240,
                        )  # fmt: skip
                except Exception as error:  # noqa: BLE001 -- shown by the test's thread
                    failures.append(error)

            def revoke() -> None:
                third.changes.change(
                    a_change("chg_revoke"),
                    lambda state: [replace(renamed(state, "key_b", "")[0], revoked_at=NOW, revoked_by="third")],
                    patience=240,
                )

            threads = [threading.Thread(target=edit, args=(one, "x")), threading.Thread(target=edit, args=(other, "y"))]
            for thread in threads:
                thread.start()
            revoke()
            for thread in threads:
                thread.join()
            assert failures == []
            third.view.read_to_end()
            edited, revoked = third.view.state.key("key_a"), third.view.state.key("key_b")
            assert edited is not None
            assert revoked is not None
            texts = edited.name.split(";")[:-1]
            assert sorted(texts) == sorted(f"{name}{number}" for name in "xy" for number in range(edits))
            for name in "xy":  # each writer's in its order
                assert [text for text in texts if text[0] == name] == [f"{name}{number}" for number in range(edits)]
            assert (revoked.revoked_at, revoked.revoked_by) == (NOW, "third")
            assert edited.revision == 2 * edits + 1
