"""New ids."""

import re

from application.access.ids import new_id


def test_an_id_says_what_it_names_and_is_never_used_twice() -> None:
    ids = {new_id("key") for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(re.fullmatch("key_[0-9a-f]{24}", key_id) for key_id in ids)
