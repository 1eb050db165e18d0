"""Amounts of single values in a recipe."""

from __future__ import annotations

from typing import Any, NoReturn


class Amounts(dict[str, float]):
    """Value slug → amount; it cannot be changed, so that the recipe that holds it can be a key.

    A dict, so that it is written to TOML, JSON and records as it is.

    Example:
        >>> hash(Amounts(karma=0.05, honor=0.1)) == hash(Amounts(honor=0.1, karma=0.05))
        True
    """

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Amounts], tuple[dict[str, float]]]:
        return Amounts, (dict(self),)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("amounts of a recipe cannot be changed; make another recipe with dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse
