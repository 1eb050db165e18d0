"""What is made of scores: how good the sets of `--k auto` are, what sides and explanations are worth.

    python -m benchmarks.choosing [--selector embedding] [--only auto,sides,why] [--texts 40]

By default on the labelled situations: what is chosen on the development split is told of both that and the test split.

- auto: the least gain of `vispa.selection.covering` is swept on the development split; the one at which six values are
  chosen on average stands beside always six. Columns: values chosen, mean F1 of a text, precision and recall over all
  texts, share found of what is clearly at stake.
- sides: where a situation promotes or violates a value, how often the selector tells a side (both are told from
  `LEAST_CERTAIN` on), how often that is right, and how often the likelier side is where it is told or not.
- why: how far the score of a text's first value falls without the fifth of the words that are said to carry most of
  it, beside as many random words; and how often it falls further.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vispa.models.encoder import load_encoder
from vispa.records import LEAST_CERTAIN
from vispa.selection import SELECTORS
from vispa.selection.covering import LEAST_GAIN, covering
from vispa.selection.diversity import definition_similarity
from vispa.selection.explaining import explanations, text_parts, without
from vispa.selection.labelled import DEVELOPMENT, load_situations, scale_matrix, side_matrix
from vispa.selection.selector import Selector, StanceSelector
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy

TEST = Path(__file__).parent / "data" / "test_situations.csv"
SIZE = 6
_GAINS = np.arange(0.01, 0.2, 0.002)
_SHARE = 0.2

Floats = npt.NDArray[np.floating]


def set_figures(chosen: Sequence[Sequence[int]], scale: Floats) -> dict[str, float]:
    """What chosen values are worth.

    Args:
        chosen: columns chosen for each of N texts, at least one.
        scale: [N, V]; see `scale_matrix`.
    """
    taken = np.array([np.isin(np.arange(scale.shape[1]), row) for row in chosen])
    at_stake = scale > 0
    found, size, due = (taken & at_stake).sum(1), taken.sum(1), at_stake.sum(1)
    return {
        "values": float(size.mean()),
        "F1": float((2 * found / (size + due)).mean()),
        "precision": float(found.sum() / size.sum()),
        "recall": float(found.sum() / due.sum()),
        "clear found": float((taken & (scale == 2)).sum() / (scale == 2).sum()),
    }


def auto_sets(scores: Floats, similarity: Floats, least_gain: float) -> list[list[int]]:
    """What `auto` chooses from each row of scores [N, V] at a given least gain."""
    alike = similarity.astype(np.float64)
    return [covering(row, np.argsort(-row, kind="stable").tolist(), alike, least_gain) for row in scores]


def swept_gain(scores: Floats, similarity: Floats, size: float = SIZE) -> float:
    """The least gain at which the mean number of chosen values is nearest to `size`."""
    sizes = [np.mean([len(row) for row in auto_sets(scores, similarity, float(gain))]) for gain in _GAINS]
    return float(_GAINS[int(np.abs(np.array(sizes) - size).argmin())])


def side_figures(promotes: Floats, sides: Floats) -> dict[str, float]:
    """How often a side is told where there is one, and how often it is right.

    Args:
        promotes: [N, V]; see `StanceSelector.stances`.
        sides: [N, V]; see `side_matrix`.
    """
    known = (np.abs(sides) == 1) & ~np.isnan(promotes)
    given, right = promotes[known], (promotes[known] > 0.5) == (sides[known] > 0)
    told = np.maximum(given, 1 - given) >= LEAST_CERTAIN
    return {"cases": len(given), "told": told.mean(), "right where told": right[told].mean(), "right": right.mean()}


def why_figures(selector: Selector, texts: Sequence[str], seed: int = 0) -> dict[str, float]:
    """How far scores fall without the words that are said to carry them, and without random ones."""
    random = np.random.default_rng(seed)
    texts = [text for text in texts if len(text_parts(text)) >= 5]
    columns = selector.scores(texts).argmax(1)
    asked = []
    for text, found, column in zip(texts, explanations(selector, texts), columns, strict=True):
        count = max(1, round(_SHARE * len(found.parts)))
        for kept in (np.argsort(-found.weights[:, column])[:count], random.permutation(len(found.parts))[:count]):
            left = text
            for place in sorted(kept, reverse=True):
                left = without(left, *found.parts[place])
            asked.append(left)
        asked.append(text)
    scores = selector.scores(asked)[np.arange(len(asked)), columns.repeat(3)].reshape(-1, 3)
    falls = scores[:, 2:] - scores[:, :2]
    carried, at_random = falls.mean(0)
    return {
        "texts": len(texts),
        "without carriers": float(carried),
        "without random words": float(at_random),
        "further": float((falls[:, 0] > falls[:, 1]).mean()),
    }


def told(name: str, figures: dict[str, float]) -> None:
    """Print a line of figures."""
    print(f"{name:<34}" + "  ".join(f"{what} {figure:.3f}".replace(".000", "") for what, figure in figures.items()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selector", default="embedding", choices=tuple(SELECTORS))
    parser.add_argument("--only", default="auto,sides,why", help="parts, separated by commas")
    parser.add_argument("--texts", type=int, default=40, help="how many texts of each split are explained")
    arguments = parser.parse_args()
    taxonomy = Taxonomy.built_in()
    slugs = tuple(taxonomy)
    selector = SELECTORS[arguments.selector].make(taxonomy, SelectorSettings())
    splits = {"development": load_situations(DEVELOPMENT), "test": load_situations(TEST)}

    def auto() -> None:
        similarity = definition_similarity(load_encoder(), taxonomy)
        scores = {name: selector.scores(split.texts) for name, split in splits.items()}
        gain = swept_gain(scores["development"], similarity)
        for name, split in splits.items():
            scale = scale_matrix(split, slugs)
            told(f"{name}, always {SIZE}", set_figures(np.argsort(-scores[name], 1)[:, :SIZE].tolist(), scale))
            for one in dict.fromkeys((gain, LEAST_GAIN)):
                told(f"{name}, auto at {one:.3f}", set_figures(auto_sets(scores[name], similarity, one), scale))

    def sides() -> None:
        assert isinstance(selector, StanceSelector), "the selector tells no sides"
        for name, split in splits.items():
            promotes, scale = selector.stances(split.texts), scale_matrix(split, slugs)
            labels = side_matrix(split, slugs)
            told(f"{name}, at stake", side_figures(promotes, labels))
            told(f"{name}, clearly at stake", side_figures(promotes, np.where(scale == 2, labels, np.nan)))

    def why() -> None:
        for name, split in splits.items():
            told(name, why_figures(selector, split.texts[: arguments.texts]))

    parts: dict[str, Callable[[], None]] = {"auto": auto, "sides": sides, "why": why}
    for part in arguments.only.split(","):
        parts[part]()


if __name__ == "__main__":
    main()
