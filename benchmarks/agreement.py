"""How far the two readers of the labelled situations agree: `python -m benchmarks.agreement [--by-value]`.

Cohen's kappa of each pair of labels (unweighted for "at stake" and for "clearly at stake", with quadratic weights for
the scale 0, 1, 2), Krippendorff's alpha of the scale as an ordinal one (Krippendorff 2011, "Computing
Krippendorff's alpha-reliability"), over all situations and values; and what the third reader settled.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.readings import Readings, codes, load_readings

Scales = npt.NDArray[np.intp]
Array = npt.NDArray[np.float64]


def matrices(readings: Sequence[Readings], values: Sequence[str]) -> tuple[Scales, Scales]:
    """[N, V] of either reader: 0, 1 or 2."""

    def of(name: str) -> Scales:
        rows = [
            [own[slug].scale if slug in own else 0 for slug in values] for own in (getattr(r, name) for r in readings)
        ]
        return np.array(rows, dtype=np.intp)

    return of("first"), of("second")


def joint(first: Scales, second: Scales, levels: int) -> Array:
    """[levels, levels]: how often the readers said each pair."""
    counts = np.zeros((levels, levels))
    np.add.at(counts, (first.ravel(), second.ravel()), 1)
    return counts


def kappa(counts: Array, weights: Array) -> float:
    """Cohen's kappa from a table of counts and how much each pair disagrees, 0 on the diagonal."""
    shares = counts / counts.sum()
    expected = np.outer(shares.sum(1), shares.sum(0))
    return float(1 - (shares * weights).sum() / (expected * weights).sum())


def coincidences(said: Scales, levels: int) -> Array:
    """[levels, levels]: how often each pair was said of one thing; with m readers a pair counts 1 / (m − 1).

    Args:
        said: [N, R] what each of R readers said of N things, from 0; below 0 where one said nothing.
        levels: how many different things can be said.
    """
    counts = np.stack([(said == level).sum(1) for level in range(levels)], 1).astype(float)
    counts = counts[counts.sum(1) > 1]
    weighted = counts / (counts.sum(1, keepdims=True) - 1)
    found: Array = weighted.T @ counts - np.diag(weighted.sum(0))
    return found


def alpha(*groups: Array, ordinal: bool = False) -> float:
    """Krippendorff's alpha from coincidences.

    Args:
        groups: [L, L] each, see `coincidences`; what chance gives is worked out within each group.
        ordinal: whether what is said has an order, so that further apart is worse; else all differences are alike.
    """
    said = sum(groups[1:], groups[0]).sum(0)
    levels = len(said)
    distance = np.zeros((levels, levels))
    for low in range(levels):
        for high in range(low + 1, levels):
            between = said[low : high + 1].sum() - (said[low] + said[high]) / 2
            distance[low, high] = distance[high, low] = between**2 if ordinal else 1
    observed = sum((one * distance).sum() for one in groups)
    # Pairs of what was said by chance: none with itself.
    totals = [one.sum(0) for one in groups]
    chance = sum(((np.outer(one, one) - np.diag(one)) * distance).sum() / (one.sum() - 1) for one in totals)
    return float(1 - observed / chance)


def agreement(first: Scales, second: Scales) -> dict[str, float]:
    """Every figure of some cells."""
    apart = np.subtract.outer(np.arange(3), np.arange(3)) ** 2.0
    unequal = 1 - np.eye(2)
    return {
        "kappa, at stake": kappa(joint((first > 0).astype(np.intp), (second > 0).astype(np.intp), 2), unequal),
        "kappa, clearly": kappa(joint((first > 1).astype(np.intp), (second > 1).astype(np.intp), 2), unequal),
        "kappa, quadratic": kappa(joint(first, second, 3), apart),
        "alpha, ordinal": alpha(coincidences(np.stack([first.ravel(), second.ravel()], 1), 3), ordinal=True),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--by-value", action="store_true", help="also print the figures of every value, as a table")
    arguments = parser.parse_args()
    values, readings = list(codes().values()), list(load_readings().values())
    first, second = matrices(readings, values)
    settled = sum(len(one.third) for one in readings)
    print(f"{len(readings)} situations, {first.size} cells; {settled} ({settled / first.size:.1%}) settled by a third")
    apart = abs(first - second)
    print(f"scales differ by one in {(apart == 1).mean():.1%}, by two in {(apart == 2).mean():.1%}")
    for name, figure in agreement(first, second).items():
        print(f"{name}: {figure:.3f}")
    if arguments.by_value:
        names = list(agreement(first, second))
        print(f"\n| value | at stake | clearly | {' | '.join(names)} |\n{'| --- ' * (3 + len(names))}|")
        labels = [one.merged() for one in readings]
        for place, slug in enumerate(values):
            scales = [own[slug].scale for own in labels if slug in own]
            figures = agreement(first[:, place], second[:, place]).values()
            cells = " | ".join(f"{figure:.2f}" for figure in figures)
            print(f"| {slug} | {len(scales)} | {sum(scale == 2 for scale in scales)} | {cells} |")


if __name__ == "__main__":
    main()
