"""Ids of the hub: UUIDs of version 7."""

import time
import uuid

from exai.protocol.ids import time_ordered_uuid


def test_an_id_is_a_uuid_of_version_7_and_the_rfc_s_variant() -> None:
    for _ in range(200):
        made = time_ordered_uuid()
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert uuid.UUID(str(made)) == made


def test_an_id_begins_with_the_milliseconds_of_its_making() -> None:
    before = time.time_ns() // 1_000_000
    milliseconds = time_ordered_uuid().int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_ids_of_different_milliseconds_are_in_the_order_of_time() -> None:
    made = [time_ordered_uuid()]
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        following = time_ordered_uuid()
        if following.int >> 80 != made[-1].int >> 80:
            made.append(following)
    assert len(made) == 5
    assert made == sorted(made)
    assert [str(one) for one in made] == sorted(str(one) for one in made)


def test_no_two_ids_are_the_same() -> None:
    assert len({time_ordered_uuid() for _ in range(10_000)}) == 10_000
