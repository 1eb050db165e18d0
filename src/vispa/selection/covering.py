"""How many values a text calls for: `auto`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: With `auto`, the most values that are kept.
AUTO_MOST = 12
#: With `auto`, a further value must raise the expected F1 of the chosen ones by this share of itself.
LEAST_GAIN = 0.06
#: How far a value counts as covered by a chosen one with the same definition, 0 to 1.
REDUNDANCY = 0.3


def covering(
    row: npt.NDArray[np.floating],
    candidates: list[int],
    similarity: npt.NDArray[np.float64] | None,
    least_gain: float = LEAST_GAIN,
) -> list[int]:
    """The values to choose from one row of scores, from 1 to `AUTO_MOST`, in the order in which they are chosen.

    The scores are taken as probabilities p that values are at stake. Were S chosen, the expected F1 of what is chosen
    against what is at stake would be about

        F(S) = 2 · Σ_{v in S} g(v) / (|S| + Σ_v p(v)),    g(v) = p(v) · (1 − REDUNDANCY · s(v)),

    s(v) the highest similarity (not below 0) of v's definition to that of a value chosen before it, so that of two
    values that say nearly the same the second adds less. The value with the highest g comes next, until the next one
    would raise F by less than `least_gain` of itself. (Maximising it outright, as Lewis 1995 and Dembczyński
    et al. 2011 do, keeps eleven values a text, because as many play some part; this stops where F grows slowly.) A
    value whose score rises while the others stay is never lost.

    Args:
        row: scores, [V] in [0, 1].
        candidates: columns to choose from, highest score first, at least one.
        similarity: of the values to each other, [V, V]; None counts no value as covered by another.
        least_gain: see above; chosen by `benchmarks/choosing.py` on the development split, for six values on average.
    """
    relevance = row[candidates].astype(np.float64)
    among = np.zeros((len(candidates),) * 2) if similarity is None else similarity[np.ix_(candidates, candidates)]
    expected = float(row.astype(np.float64).sum())
    picked, gained, nearest = [0], float(relevance[0]), np.maximum(among[:, 0], 0.0)
    while len(picked) < min(AUTO_MOST, len(candidates)):
        gain = relevance * (1 - REDUNDANCY * nearest)
        gain[picked] = -1.0
        best = int(np.argmax(gain))
        now, then = gained / (len(picked) + expected), (gained + float(gain[best])) / (len(picked) + 1 + expected)
        if gain[best] <= 0 or then < (1 + least_gain) * now:
            break
        picked.append(best)
        gained += float(gain[best])
        nearest = np.maximum(nearest, among[:, best])
    return [candidates[position] for position in picked]
