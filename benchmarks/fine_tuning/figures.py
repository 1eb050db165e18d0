"""What the comments of several ways say of each other: expression at equal fluency, and who is ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vispa.evaluation.intervals import Interval, PairedDifference, bootstrap_statistic, paired_difference

FloatArray = npt.NDArray[np.float64]


def at_fluency(fluency: FloatArray, hits: FloatArray, wanted: float) -> float:
    """Hits of a family of ways at a fluency, straight between the two nearest; at its ends where it reaches no further.

    Args:
        fluency: [K] of the ways.
        hits: [K].
        wanted: fluency to compare at.
    """
    order = np.argsort(fluency, kind="stable")
    return float(np.interp(wanted, fluency[order], hits[order]))


def difference_at_equal_fluency(
    family: Sequence[Mapping[str, FloatArray]], rival: Mapping[str, FloatArray]
) -> Interval:
    """Hits of a family of ways less the rival's, where it is as fluent as the rival; 95 % interval over situations.

    Args:
        family: ways of several strengths, the unsteered one among them, each with `hit` and `fluency`, [S] each.
        rival: the same of another way, on the same situations.
    """
    hits, fluency = (np.stack([one[name] for one in family], 1) for name in ("hit", "fluency"))

    def difference(hits: FloatArray, fluency: FloatArray, own: FloatArray, fluent: FloatArray) -> float:
        return at_fluency(fluency.mean(0), hits.mean(0), float(fluent.mean())) - float(own.mean())

    return bootstrap_statistic(difference, hits, fluency, rival["hit"], rival["fluency"])


def paired(first: FloatArray, second: FloatArray) -> PairedDifference:
    """Mean of the first less the second over the same situations."""
    return paired_difference(dict(enumerate(first.tolist())), dict(enumerate(second.tolist())))


def reached(found: Interval) -> str:
    """Whether vectors reach adapters' expression at equal fluency, in words."""
    if found.low > 0:
        return "vectors express more"
    if found.high < 0:
        return "adapters express more"
    return "these situations do not tell"


def ahead_from(differences: Mapping[int, PairedDifference]) -> str:
    """From how many pairs on adapters are ahead, in words.

    Args:
        differences: number of pairs → adapters less vectors.
    """
    sizes = sorted(differences)
    ahead = {size: differences[size].low > 0 for size in sizes}
    first = next((size for size in sizes if all(ahead[later] for later in sizes if later >= size)), None)
    if first is not None:
        return f"adapters are ahead from {first} pairs on"
    if any(ahead.values()):
        some = ", ".join(str(size) for size in sizes if ahead[size])
        return f"adapters are ahead at {some} pairs, and not told apart or behind at more"
    behind = [size for size in sizes if differences[size].high < 0]
    if behind == sizes:
        return "vectors are ahead at every number of pairs"
    if behind:
        return f"vectors are ahead at {', '.join(map(str, behind))} pairs; elsewhere these situations do not tell"
    return "these situations do not tell at any number of pairs"
