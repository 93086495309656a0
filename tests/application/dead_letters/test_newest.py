"""Which dead letters are the newest, when they are read partition by partition."""

import random

import pytest

from application.dead_letters.newest import Newest
from application.dead_letters.reading import DeadLetter, Place


def letter(partition: int, offset: int, recorded_at: int, index: int | None = None) -> DeadLetter:
    return DeadLetter(Place(partition, offset, index), {"recorded_at": recorded_at})


def listed(limit: int, *letters: DeadLetter) -> tuple[list[str], int]:
    newest = Newest(limit)
    for letter in letters:
        newest.add(letter)
    return [str(letter.place) for letter in newest.letters], newest.hidden


def test_the_newest_of_a_low_partition_is_first() -> None:
    read = [letter(2, 51, 300), letter(7, 1, 100), letter(7, 2, 101), letter(7, 3, 102)]
    assert listed(3, *read) == (["2@51", "7@3", "7@2"], 1)
    assert listed(4, *read) == (["2@51", "7@3", "7@2", "7@1"], 0)
    assert listed(9, *read) == (["2@51", "7@3", "7@2", "7@1"], 0)
    assert listed(0, *read) == ([], 4)
    assert listed(3) == ([], 0)


def test_letters_of_one_millisecond_are_in_order_of_their_places() -> None:
    read = [letter(0, 5, 9, 0), letter(0, 5, 9, 1), letter(0, 6, 9), letter(1, 0, 9)]
    assert listed(3, *read) == (["1@0", "0@6", "0@5/1"], 1)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_reading_gives_the_same(seed: int) -> None:
    chance = random.Random(seed)
    letters = [letter(partition, offset, chance.randrange(50)) for partition in range(5) for offset in range(10)]
    by_age = sorted(
        letters, key=lambda letter: (letter.record["recorded_at"], letter.place.partition, letter.place.offset)
    )
    chance.shuffle(letters)
    limit = chance.randrange(60)
    expected = [str(letter.place) for letter in reversed(by_age)][:limit]
    assert listed(limit, *letters) == (expected, max(0, 50 - limit))
