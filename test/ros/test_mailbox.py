"""The newest picture waits, older ones are counted."""

from __future__ import annotations

import threading

from rnnpose_ros.ros.mailbox import Mailbox


def test_the_newest_item_wins_and_the_others_are_counted() -> None:
    mailbox: Mailbox[int] = Mailbox()
    assert [mailbox.put(i) for i in range(5)] == [False, True, True, True, True]
    assert mailbox.take(timeout_s=0.0) == 4
    assert mailbox.take(timeout_s=0.0) is None
    assert (mailbox.counts.offered, mailbox.counts.taken, mailbox.counts.dropped) == (5, 1, 4)


def test_a_taker_that_waits_is_woken_by_the_item() -> None:
    mailbox: Mailbox[str] = Mailbox()
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.take(timeout_s=10.0)))
    taker.start()
    mailbox.put("picture")
    taker.join(5.0)
    assert taken == ["picture"]


def test_closing_wakes_the_taker_and_counts_what_waited() -> None:
    mailbox: Mailbox[int] = Mailbox()
    taken: list[int | None] = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.take(timeout_s=60.0)))
    taker.start()
    mailbox.close()
    taker.join(5.0)
    assert not taker.is_alive()
    assert taken == [None]
    assert mailbox.put(1)
    assert mailbox.counts.dropped == 1


def test_no_item_is_lost_between_many_threads() -> None:
    mailbox: Mailbox[int] = Mailbox()
    each = 2000

    def put() -> None:
        for i in range(each):
            mailbox.put(i)

    putters = [threading.Thread(target=put) for _ in range(4)]
    for putter in putters:
        putter.start()
    while any(putter.is_alive() for putter in putters):
        mailbox.take(timeout_s=0.001)
    waiting = mailbox.take(timeout_s=0.0)
    counts = mailbox.counts
    assert counts.offered == 4 * each == counts.taken + counts.dropped
    assert waiting is None or waiting < each
