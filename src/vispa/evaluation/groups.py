"""Attribute groups of items: countries, ambiguity, or survey groups."""

from __future__ import annotations

from collections.abc import Sequence


def group_positions(attributes: Sequence[str | None], groups: Sequence[str] = ()) -> dict[str, list[int]]:
    """Which items belong to which group; groups without an item are left out.

    Args:
        attributes: each item's attribute.
        groups: an item belongs to every group whose name occurs in its attribute
            (`RELIG` in `RELIG_Hindu`). With no groups given, each attribute is a group.

    Returns:
        Group → positions in `attributes`, in the order of `groups` or of the alphabet.
    """
    if not groups:
        names = sorted({attribute for attribute in attributes if attribute is not None})
        return {name: [i for i, attribute in enumerate(attributes) if attribute == name] for name in names}
    found = {name: [i for i, attribute in enumerate(attributes) if name in (attribute or "")] for name in groups}
    return {name: places for name, places in found.items() if places}
