"""Images find their camera infos, and time may start again."""

from __future__ import annotations

import random

import pytest

from rnnpose_ros.ros.pairing import JUMP_NS, Order, StampOrder, StampPairing


def test_shuffled_messages_are_paired_by_equal_stamps_only() -> None:
    rng = random.Random(3)
    messages = [(kind, stamp) for stamp in range(100) for kind in ("image", "info")]
    blocks = [messages[i : i + 8] for i in range(0, len(messages), 8)]
    pairing = StampPairing(depth=8)
    pairs = []
    for block in blocks:
        rng.shuffle(block)
        for kind, stamp in block:
            add = pairing.add_image if kind == "image" else pairing.add_info
            pairs.append(add((kind, stamp), stamp_ns=stamp))
    found = [pair for pair in pairs if pair is not None]
    assert len(found) == 100
    assert all(pair.image == ("image", pair.stamp_ns) and pair.info == ("info", pair.stamp_ns) for pair in found)


def test_unpaired_leftovers_of_a_loop_do_not_stop_the_next_one() -> None:
    pairing = StampPairing(depth=5)
    for stamp in range(1000, 1010):
        assert pairing.add_image("left over", stamp_ns=stamp) is None
    pairs = 0
    for stamp in range(100):
        pairing.add_image("image", stamp_ns=stamp)
        pairs += pairing.add_info("info", stamp_ns=stamp) is not None
    assert pairs == 100
    assert pairing.counts.unpaired_images == 6, "five pushed each other out, one made room for the loop"


@pytest.mark.parametrize(("offset_ns", "is_paired"), [(0, True), (40_000_000, True), (40_000_001, False)])
def test_slop_is_inclusive(offset_ns: int, is_paired: bool) -> None:
    pairing = StampPairing(slop_s=0.04)
    pairing.add_info("info", stamp_ns=10**9 + offset_ns)
    assert (pairing.add_image("image", stamp_ns=10**9) is not None) is is_paired


def test_without_slop_a_nanosecond_parts_them_and_the_offset_is_known() -> None:
    pairing = StampPairing(depth=1)
    for stamp in (10**9, 2 * 10**9):
        assert pairing.add_info("info", stamp_ns=stamp + 30_000_000) is None
        assert pairing.add_image("image", stamp_ns=stamp) is None
    assert pairing.counts.unpaired_images == 1
    assert pairing.counts.nearest_offset_s == pytest.approx(1.03)


def test_the_latest_info_serves_images_of_any_stamp_and_the_newest_that_waited_for_it() -> None:
    pairing = StampPairing(use_latest_info=True)
    assert pairing.add_image("too early", stamp_ns=1) is None
    assert pairing.add_image("waits", stamp_ns=2) is None
    first = pairing.add_info("only", stamp_ns=0)
    assert first is not None
    assert (first.image, first.stamp_ns, pairing.counts.unpaired_images) == ("waits", 2, 1)
    assert [pairing.add_image("image", stamp_ns=s).info for s in (5, 6, 7)] == ["only"] * 3
    assert pairing.add_info("newer", stamp_ns=8) is None
    assert pairing.add_image("image", stamp_ns=5).info == "newer"


def test_images_that_were_lost_on_their_way_are_counted() -> None:
    pairing = StampPairing(depth=4)
    for stamp in range(100):
        if stamp % 4:
            pairing.add_image("image", stamp_ns=stamp)
        pairing.add_info("info", stamp_ns=stamp)
    assert pairing.counts.missing_images == 25 - 4, "four still wait for theirs"
    latest = StampPairing(depth=4, use_latest_info=True)
    for stamp in range(100):
        latest.add_info("info", stamp_ns=stamp)
    assert latest.counts.missing_images == 0


def test_who_takes_a_pair_may_fail_or_come_back_for_more() -> None:
    """The pair is handed over outside of every lock."""
    pairing = StampPairing()

    def handle(stamp_ns: int) -> None:
        pairing.add_info("info", stamp_ns=stamp_ns)
        pair = pairing.add_image("image", stamp_ns=stamp_ns)
        if pair is not None and stamp_ns < 5:
            handle(stamp_ns + 1)
            raise RuntimeError("a fault of who handles the pair")

    with pytest.raises(RuntimeError):
        handle(0)
    pairing.add_info("info", stamp_ns=100)
    assert pairing.add_image("image", stamp_ns=100) is not None


def test_a_late_stamp_is_old_and_a_repeated_one_too() -> None:
    order = StampOrder()
    assert [order.judge(s) for s in (10, 30, 20, 30, 40)] == [
        Order.NEXT,
        Order.NEXT,
        Order.OLD,
        Order.OLD,
        Order.NEXT,
    ]


def test_a_large_step_back_is_a_restart() -> None:
    order = StampOrder()
    order.judge(5 * JUMP_NS)
    assert order.judge(4 * JUMP_NS) is Order.RESTARTED
    assert order.judge(4 * JUMP_NS + 1) is Order.NEXT


def test_a_short_recording_that_loops_is_followed_again() -> None:
    order = StampOrder()
    stamps = [i * 33_000_000 for i in range(1, 10)]
    first, second = ([order.judge(s) for s in stamps] for _ in range(2))
    assert first == [Order.NEXT] * 9
    assert second[2] is Order.RESTARTED
    assert second[3:] == [Order.NEXT] * 6


def test_the_last_stamp_once_more_is_no_restart_even_after_late_ones() -> None:
    order = StampOrder()
    for stamp in (70, 80, 90, 100):
        order.judge(stamp)
    assert [order.judge(s) for s in (80, 90, 100, 100, 110)] == [Order.OLD] * 4 + [Order.NEXT]
    assert [order.judge(s) for s in (80, 90, 100)] == [Order.OLD, Order.OLD, Order.RESTARTED]
