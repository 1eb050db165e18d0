"""The sentence on where values agree and part."""

from __future__ import annotations

from collections.abc import Sequence

from vispa.modes.checks import comment_checks
from vispa.records import Stance

_AGREEMENT: dict[Stance, str] = {
    "support": "speak for it",
    "oppose": "speak against it",
    "either": "see two sides",
}
_CLAUSES: tuple[tuple[Stance | None, str, str], ...] = (
    ("support", "speaks for it", "speak for it"),
    ("oppose", "speaks against it", "speak against it"),
    ("either", "sees two sides", "see two sides"),
    (None, "takes no side that can be read", "take no side that can be read"),
)


def lead(names: Sequence[str], stances: Sequence[Stance | None]) -> str | None:
    """Where the values of N comments agree and part.

    Args:
        names: labels of their values.
        stances: what each leans to; None where that cannot be read.

    Returns:
        A sentence; None where the stances of too few comments can be read (`comments.toml`) to say anything.
    """
    known = sum(stance is not None for stance in stances)
    if not known or known < comment_checks().readable * len(stances):
        return None
    by_stance: dict[Stance | None, list[str]] = {}
    for name, stance in zip(names, stances, strict=True):
        by_stance.setdefault(stance, []).append(name)
    first = next(iter(by_stance))
    if len(by_stance) == 1 and len(names) > 1 and first is not None:
        every = "both" if len(names) == 2 else "all"
        return capital(f"the values agree: {listed(names)} {every} {_AGREEMENT[first]}.")
    clauses = [
        f"{listed(by_stance[kind])} {one if len(by_stance[kind]) == 1 else many}"
        for kind, one, many in _CLAUSES
        if kind in by_stance
    ]
    part = len(by_stance.keys() - {None}) > 1
    text = "; ".join(clauses)
    return capital(f"the values part here: {text}." if part else f"{text}.")


def listed(names: Sequence[str]) -> str:
    """`A, B and C`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capital(text: str) -> str:
    """The text with a capital letter first."""
    return text[:1].upper() + text[1:]
