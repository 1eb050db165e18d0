"""What is made on first use and kept, once for all threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property, wraps
from threading import RLock
from typing import Any, ParamSpec, TypeVar, overload

P = ParamSpec("P")
T = TypeVar("T")


class once_property(cached_property[T]):
    """A `cached_property` whose value is made once, however many threads ask for it first.

    That of the standard library has no lock from Python 3.12 on: each thread that comes before the value is there makes
    one, and goes on with its own. Once the value is there, reading it takes no lock.

    All instances share the lock, as an own one would keep them from being copied and pickled: nothing that the making
    waits for may ask for the same property.

    Args:
        make: gives the value of an instance.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        super().__init__(make)
        self._making = RLock()

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> once_property[T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> once_property[T] | T:
        """The value, made by the first thread that asks; the property itself where there is no instance."""
        if instance is None:
            return self
        with self._making:
            # Looks again whether the value is there, which another thread may have made meanwhile.
            return super().__get__(instance, owner)


def once(make: Callable[P, T]) -> Callable[P, T]:
    """A function that makes something at its first call with the same arguments, and gives that to every thread then.

    `functools.cache` may make it several times: it has no lock while the function runs.
    """
    kept: Callable[P, T] = cache(make)  # type: ignore[assignment]
    making = RLock()

    @wraps(make)
    def made(*given: P.args, **named: P.kwargs) -> T:
        with making:
            return kept(*given, **named)

    return made
