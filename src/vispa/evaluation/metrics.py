"""Figures overall and by attribute: by country, ambiguity, or survey group."""

from __future__ import annotations

from collections.abc import Sequence

from vispa.errors import InputError
from vispa.evaluation.distribution import Distribution, DistributionFigures, distribution_figures
from vispa.records import Record


class DistributionReport(Record):
    """Figures over all items and within each group.

    Attributes:
        overall: over all items.
        groups: group → figures of its items; only groups that have any.
    """

    overall: DistributionFigures
    groups: dict[str, DistributionFigures]


def distribution_report(
    gold: Sequence[Distribution],
    predicted: Sequence[Distribution],
    attributes: Sequence[str | None],
    groups: Sequence[str] = (),
) -> DistributionReport:
    """Mean Jensen-Shannon distance and most-likely agreement, overall and by group.

    Args:
        gold: N distributions.
        predicted: N distributions over the same options.
        attributes: each item's attribute; None leaves an item out of the groups.
        groups: see `group_positions`.

    Raises:
        InputError: see `distribution_figures`; or not one attribute an item.
    """
    if len(attributes) != len(gold):
        raise InputError("attributes", f"has {len(attributes)} for {len(gold)} items.", "Give one for each item.")
    return DistributionReport(
        overall=distribution_figures(gold, predicted),
        groups={
            group: distribution_figures([gold[i] for i in places], [predicted[i] for i in places])
            for group, places in group_positions(attributes, groups).items()
        },
    )


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
