"""Ids that no two records share, in threads and after forks."""

import os
import threading
import uuid

from creditmeter_client.ids import _random, new_id


def test_an_id_is_a_random_uuid() -> None:
    for text in (new_id() for _ in range(1_000)):
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_threads_never_share_one() -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend([new_id() for _ in range(2_000)])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 16_000


def test_a_child_makes_others_than_its_parent() -> None:
    new_id()  # the parent has random bytes at hand
    assert _random
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, "".join(new_id() for _ in range(100)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(reading, 100 * 36).decode()
    os.close(reading)
    os.close(writing)
    theirs = {text[start : start + 36] for start in range(0, len(text), 36)}
    assert len(theirs) == 100
    assert theirs.isdisjoint(new_id() for _ in range(1_000))
