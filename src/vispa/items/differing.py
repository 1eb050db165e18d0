"""Where two descriptions of what determines answers differ, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

# So many differences are named, and so much is shown of each side: enough of a fingerprint to tell it from another.
_NAMED = 4
_SHOWN = 24


def differences(one: Any, other: Any) -> str:
    """The fields in which two differ, with what each holds; empty where they are the same.

    Args:
        one: made of mappings, lists and whatever JSON can say.
        other: the like.
    """
    found = list(_fields(one, other, ""))
    more = [f"and {len(found) - _NAMED} more"] if len(found) > _NAMED else []
    named = [f"{name} ({' and '.join(_apart(left, right))})" for name, left, right in found[:_NAMED]]
    return ", ".join(named + more)


def _fields(one: Any, other: Any, name: str) -> list[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        inner = [(f"{name}.{key}".lstrip("."), one.get(key), other.get(key)) for key in {**one, **other}]
    elif isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        # Parts of one description, which have no names of their own.
        inner = [(name, *sides) for sides in zip(one, other, strict=True)]
    else:
        return [] if _said(one) == _said(other) else [(name or "what is answered with", one, other)]
    return [found for key, left, right in inner for found in _fields(left, right, key)]


def _said(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)


def _apart(one: Any, other: Any) -> tuple[str, str]:
    """What each side holds, in a few characters that tell them apart."""
    said = [side if isinstance(side, str) else _said(side) for side in (one, other)]
    if max(map(len, said)) <= _SHOWN:
        return said[0], said[1]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*said, strict=False)))
    left, right = (f"{'…' if same else ''}{side[same : same + _SHOWN // 2]}…" for side in said)
    return left, right
