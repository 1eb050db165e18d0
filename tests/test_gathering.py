"""Callers in several threads share passes, each gets what is its own, and nobody waits for ever."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from served import wait_for

from vispa.models.batching import Budget
from vispa.models.encoder import bundled_encoder
from vispa.models.gathering import Gathering
from vispa.models.remembering import Remembering
from vispa.selection.embedding import EmbeddingSelector
from vispa.taxonomy import Taxonomy


class Slow:
    """A function that waits in its first pass until it may go on, and notes its passes."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.free = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.passes.append(list(items))
        assert self.free.wait(30)
        if -1 in items:
            raise ValueError("not that one")
        return [item * item for item in items]


def asked(slow: Slow, rows: int, *asking: list[int]) -> list[list[int] | str]:
    """What callers get of whom the first is already being answered when the others come, one after the other."""
    gathered = Gathering(slow, Budget(rows=rows))
    with ThreadPoolExecutor(len(asking)) as pool:
        futures = [pool.submit(gathered, asking[0])]
        wait_for(lambda: bool(slow.passes))
        for number, items in enumerate(asking[1:], 1):
            futures.append(pool.submit(gathered, items))
            wait_for(lambda number=number: len(gathered._waiting) == number)  # type: ignore[misc]
        slow.free.set()
        return [str(error) if (error := future.exception(30)) else future.result() for future in futures]


def test_who_waits_shares_the_next_pass() -> None:
    slow = Slow()
    assert asked(slow, 64, [1], [2, 3], [], [4]) == [[1], [4, 9], [], [16]]
    assert slow.passes == [[1], [2, 3, 4]]


def test_a_pass_holds_its_budget() -> None:
    slow = Slow()
    assert asked(slow, 4, [1], [2, 3], [4, 5], [6]) == [[1], [4, 9], [16, 25], [36]]
    assert slow.passes == [[1], [2, 3, 4, 5], [6]]


def test_who_fails_fails_alone() -> None:
    slow = Slow()
    assert asked(slow, 64, [1], [2], [-1], [3]) == [[1], [4], "not that one", [9]]
    assert slow.passes == [[1], [2, -1, 3], [2], [-1], [3]]


def test_who_fills_a_pass_waits_for_nobody() -> None:
    slow = Slow()
    gathered = Gathering(slow, Budget(rows=2))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gathered, [1])
        wait_for(lambda: bool(slow.passes))
        threading.Timer(0.05, slow.free.set).start()
        assert gathered([2, 3, 4]) == [4, 9, 16]
        assert first.result(30) == [1]
    assert sorted(slow.passes) == [[1], [2, 3, 4]]


@pytest.mark.parametrize(("bad", "interrupted"), [(0, 2), (-1, 2), (-1, 3), (-1, 4)])
def test_who_is_interrupted_in_a_pass_for_many_is_it_alone(bad: int, interrupted: int) -> None:
    """Whatever pass it is in: that of all, or, where that failed, one of those that it does for each by itself."""

    class Interrupted(Slow):
        def __call__(self, items: Sequence[int]) -> list[int]:
            if len(self.passes) + 1 == interrupted:
                self.passes.append(list(items))
                raise KeyboardInterrupt("by its user")
            return super().__call__(items)

    found = asked(Interrupted(), 64, [1], [2], [bad], [3])
    assert found == [[1], "by its user", [0] if bad == 0 else "not that one", [9]]


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="Only that one is interrupted.")
def test_who_is_interrupted_while_it_waits_holds_nobody_up(request: pytest.FixtureRequest) -> None:
    # Workers that run tests side by side ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    slow = Slow()
    gathered = Gathering(slow, Budget(rows=64))

    def interrupt() -> None:
        wait_for(lambda: len(gathered._waiting) == 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gathered, [1])
        wait_for(lambda: bool(slow.passes))
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            gathered([2])
        slow.free.set()
        assert first.result(30) == [1]
        assert not gathered._busy and not gathered._waiting
        assert pool.submit(gathered, [3]).result(30) == [9]
    assert slow.passes == [[1], [3]]


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="Only that one is interrupted.")
def test_who_is_gone_is_not_waited_for_after_its_pass_was_interrupted_too(request: pytest.FixtureRequest) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    ends = threading.Event()

    class Ends(Slow):
        def __call__(self, items: Sequence[int]) -> list[int]:
            if len(self.passes) == 1:
                self.passes.append(list(items))
                assert ends.wait(30)
                raise KeyboardInterrupt("of the pass")
            return super().__call__(items)

    slow = Ends()
    gathered = Gathering(slow, Budget(rows=64))

    def interrupt() -> None:
        wait_for(lambda: len(gathered._waiting) == 2)
        slow.free.set()
        wait_for(lambda: len(slow.passes) == 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(gathered, [1])
        wait_for(lambda: bool(slow.passes))
        second = pool.submit(gathered, [2])
        wait_for(lambda: len(gathered._waiting) == 1)
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            gathered([3])
        ends.set()
        assert first.result(30) == [1]
        assert str(second.exception(30)) == "of the pass"
        assert not gathered._busy and not gathered._waiting
        assert pool.submit(gathered, [4]).result(30) == [16]
    assert slow.passes == [[1], [2, 3], [4]]


def test_many_callers_get_their_own() -> None:
    gathered = Gathering(lambda items: np.array(items) * 2, Budget(rows=7))
    with ThreadPoolExecutor(16) as pool:
        asking = [list(range(start, start + start % 5)) for start in range(400)]
        for items, found in zip(asking, pool.map(gathered, asking), strict=True):
            assert found.tolist() == [2 * item for item in items]
    assert not gathered._busy and not gathered._waiting


@pytest.mark.parametrize("threads", [2, 8])
def test_embeddings_and_scores_do_not_depend_on_who_else_asks(threads: int) -> None:
    texts = [f"Lying to my {who} about {what}" for who in ("boss", "aunt") for what in ("it", "the very old red car")]
    encoder, selector = bundled_encoder(), EmbeddingSelector(Taxonomy.built_in())
    alone = [(encoder.encode([text]), selector.scores([text]), selector.stances([text])) for text in texts]
    with ThreadPoolExecutor(threads) as pool:
        asking = [*range(len(texts))] * 4
        found = list(
            pool.map(
                lambda n: (encoder.encode([texts[n]]), selector.scores([texts[n]]), selector.stances([texts[n]])),
                asking,
            )
        )
    for number, got in zip(asking, found, strict=True):
        for one, other in zip(got, alone[number], strict=True):
            np.testing.assert_allclose(one, other, atol=2e-6)


def test_a_text_that_is_there_twice_is_read_once() -> None:
    read: list[list[str]] = []

    def lengths(texts: Sequence[str]) -> np.ndarray:
        read.append(list(texts))
        return np.array([[len(text)] for text in texts])

    once, remembering = Remembering(lengths, 0), Remembering(lengths, 2)
    for function in (once, once, remembering, remembering):
        assert function(["a", "abc", "a"])[:, 0].tolist() == [1, 3, 1]
    assert read == [["a", "abc"]] * 3
    # The one that was asked for longest ago is forgotten.
    assert remembering(["ab", "abc"])[:, 0].tolist() == [2, 3] and read[3:] == [["ab"]]
    assert remembering(["abc", "a"])[:, 0].tolist() == [3, 1] and read[4:] == [["a"]]


def test_what_was_read_before_changes_no_bit_unless_a_server_remembers() -> None:
    short, long = "A debt", "Telling my grandmother a comforting lie about what became of the cat in the winter"
    fresh, other, server = (bundled_encoder().adapted(name, {}) for name in ("fresh", "other", "server"))
    server.remember()
    beside = [encoder.encode([short, long])[:1] for encoder in (other, server)]
    np.testing.assert_array_equal(other.encode([short]), fresh.encode([short]))
    np.testing.assert_array_equal(server.encode([short]), beside[1])
