"""What is made on first use is made once, however many threads ask for it first.

Up to Python 3.11 the standard library's `cached_property` had a lock, so that the tests of single properties passed
with it too; from 3.12 on it makes one a thread.
"""

from __future__ import annotations

import copy
import functools
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from vispa.live.doors import AsyncDoors
from vispa.models.loading import LoadedModel
from vispa.once import once, once_property
from vispa.serving.service import Service
from vispa.serving.settings import ServerSettings

THREADS = 12
T = TypeVar("T")


class Maker:
    """A slow factory: the first to come in waits for a second one, who never comes where there is a lock.

    Args:
        seconds: how long it waits.

    Attributes:
        made: what it has made so far.
    """

    def __init__(self, seconds: float = 0.3) -> None:
        self.made: list[object] = []
        self._second, self._seconds = threading.Event(), seconds

    def __call__(self, *_: object) -> object:
        found = SimpleNamespace(number=len(self.made))
        self.made.append(found)
        if len(self.made) > 1:
            self._second.set()
        self._second.wait(self._seconds)
        return found


def asked_at_once(ask: Callable[[], T]) -> list[T]:
    """What several threads get that ask at the same time."""
    begin = threading.Barrier(THREADS, timeout=60)

    def run(_: int) -> T:
        begin.wait()
        return ask()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_threads_get_one_value_of_a_property() -> None:
    make = Maker()

    class Owner:
        @once_property
        def value(self) -> object:
            return make()

    owner = Owner()
    found = asked_at_once(lambda: owner.value)
    assert len(make.made) == 1 and {id(one) for one in found} == {id(owner.value)}
    # Each instance has its own, a copy what was there when it was made.
    assert Owner().value is not owner.value and copy.copy(owner).value is owner.value
    assert isinstance(Owner.value, once_property)


def test_the_factory_of_these_tests_shows_what_has_no_lock() -> None:
    # It ends when the second comes in, however late.
    make = Maker(seconds=30)
    bare = functools.cache(make)
    asked_at_once(bare)
    assert len(make.made) > 1


def test_threads_get_one_value_of_a_function_for_each_argument() -> None:
    make, other = Maker(), Maker()
    kept = once(lambda which: which())
    assert len({id(one) for one in asked_at_once(lambda: kept(make))}) == 1 == len(make.made)
    assert kept(other) is not kept(make) and len(other.made) == 1


def test_what_could_not_be_made_is_tried_again() -> None:
    tries: list[int] = []

    class Owner:
        @once_property
        def value(self) -> int:
            tries.append(1)
            if len(tries) < 3:
                raise OSError("not yet")
            return 7

    owner = Owner()
    for _ in range(2):
        with pytest.raises(OSError, match="not yet"):
            _ = owner.value
    assert [owner.value, owner.value] == [7, 7] and len(tries) == 3


def test_one_property_may_need_another_of_the_same_kind() -> None:
    class Chain:
        def __init__(self, below: Chain | None) -> None:
            self.below = below

        @once_property
        def depth(self) -> int:
            return 0 if self.below is None else 1 + self.below.depth

    assert Chain(Chain(Chain(None))).depth == 2


def test_the_async_doors_have_one_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    monkeypatch.setattr("vispa.live.doors.make_scheduler", make)
    doors = AsyncDoors()
    doors.engine = SimpleNamespace()  # type: ignore[assignment]
    assert len({id(one) for one in asked_at_once(lambda: doors.scheduler)}) == 1 == len(make.made)


def test_a_server_has_one_reader_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    monkeypatch.setattr("vispa.serving.service.TokenReader", make)
    pipeline: Any = SimpleNamespace(model=1, bank=2, recipe=3, taxonomy=4)
    service = Service(ServerSettings(), lambda: pipeline)
    service.state, service._pipeline = "ready", pipeline
    assert len({id(one) for one in asked_at_once(lambda: service.token_reader)}) == 1 == len(make.made)


def test_a_model_has_one_tokenization(monkeypatch: pytest.MonkeyPatch, make_model: Callable[..., LoadedModel]) -> None:
    """Two would hold two locks over one tokenizer."""
    make, loaded = Maker(), make_model("llama")
    vars(loaded).pop("tokenization", None)
    monkeypatch.setattr("vispa.models.loading.Tokenization", make)
    assert len({id(one) for one in asked_at_once(lambda: loaded.tokenization)}) == 1 == len(make.made)
    vars(loaded).pop("tokenization")


class Kept:
    @once_property
    def value(self) -> list[int]:
        return [1]


def test_who_has_such_a_property_can_be_pickled() -> None:
    owner = Kept()
    assert pickle.loads(pickle.dumps(owner)).value == owner.value == [1]
    assert pickle.loads(pickle.dumps(owner)).value == [1]
