"""How far selection moves: scores of the changed value, and who is among the six that are chosen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from benchmarks.drift.changes import ADDED, HALVES, RENAMED, REWORDED, SHARES, SPLIT, changed, new_pairs
from benchmarks.reports import told
from benchmarks.selection import TEST
from benchmarks.selection_figures import CHOSEN, area
from vispa.evaluation.intervals import bootstrap_mean, bootstrap_statistic
from vispa.models.encoder import FloatArray
from vispa.selection.adapted import load_adapted
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.head import LinearHead
from vispa.selection.labelled import label_matrix, load_situations
from vispa.selection.unlabelled import Tellings, row
from vispa.taxonomy import Taxonomy
from vispa.taxonomy.pairs import ContrastivePair

_RESAMPLES = 500
Figures = dict[str, dict[str, Any] | None]


@dataclass(frozen=True)
class Situations:
    """The labelled situations, as the selector sees them.

    Attributes:
        vectors: [N, D] embeddings.
        labels: [N, V], 1 where a value is at stake.
        scores: [N, V] before any change.
        taxonomy: the V values.
    """

    vectors: FloatArray
    labels: FloatArray
    scores: FloatArray
    taxonomy: Taxonomy

    @classmethod
    def load(cls, limit: int | None) -> Situations:
        """The first `limit` of the test situations."""
        taxonomy, labelled = Taxonomy.built_in(), load_situations(TEST)
        labels = label_matrix(labelled, list(taxonomy))[:limit]
        adapted = load_adapted()
        vectors = adapted.encoder.encode(labelled.texts[:limit])
        return cls(vectors, labels, adapted.relevance.restricted(tuple(taxonomy)).probabilities(vectors), taxonomy)

    def column(self, slug: str) -> int:
        """Place of a value."""
        return list(self.taxonomy).index(slug)


class OwnValues:
    """Scores of values that are not built in.

    Args:
        situations: to be scored.
    """

    def __init__(self, situations: Situations) -> None:
        self._situations = situations
        self._known: dict[tuple[str, ...], FloatArray] = {}

    def scores(self, words: str, pairs: Sequence[ContrastivePair]) -> FloatArray:
        """[N] of a value.

        Args:
            words: label and definition.
            pairs: the value's.
        """
        adapted = load_adapted()
        assert adapted.relevance.unlabelled is not None
        texts = (words, *(pair.positive for pair in pairs), *(pair.negative for pair in pairs))
        missing = [text for text in texts if (text,) not in self._known]
        self._known |= {(text,): one for text, one in zip(missing, adapted.encoder.encode(missing), strict=True)}
        told = Tellings.read([np.stack([self._known[text,] for text in texts])])
        made = row(adapted.relevance, adapted.relevance.unlabelled, told.definitions[0], told.sentences[0])
        head = LinearHead(("own",), made[0][None], np.array([made[1]]))
        return head.probabilities(self._situations.vectors)[:, 0]


def study(limit: int | None, *, draws: int, seed: int) -> dict[str, Any]:
    """All changes' figures.

    Args:
        limit: of the test situations; None for all.
        draws: of which pairs are replaced.
        seed: of the draws.
    """
    situations = Situations.load(limit)
    own = OwnValues(situations)
    chance = np.random.default_rng(seed)
    found: dict[str, Any] = {"situations": len(situations.labels), "draws": draws, "chosen": CHOSEN}
    found["built_in_pairs_matter"] = not _same_with_new_pairs(situations)
    found["reworded"] = {slug: _reworded(situations, own, slug, draws, chance) for slug in REWORDED}
    found["split"] = _split(situations, own)
    found["added"] = {value.slug: _added(situations, own, value.slug) for value in ADDED}
    return found


def _same_with_new_pairs(situations: Situations) -> bool:
    """Whether the built-in values' scores are the same, to the bit, with all pairs of the reworded values new."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = {slug: new_pairs(slug) for slug in REWORDED}
        after = EmbeddingSelector(changed(situations.taxonomy, Path(folder), pairs=pairs))
        return bool(np.array_equal(after.head.probabilities(situations.vectors), situations.scores))


def _reworded(
    situations: Situations, own: OwnValues, slug: str, draws: int, chance: np.random.Generator
) -> dict[str, Figures]:
    """A value under a new label beside the built-in one; and under it with pairs replaced, beside all pairs old."""
    value, place = situations.taxonomy[slug], situations.column(slug)
    words = f"{RENAMED[slug]}: {value.definition}"
    old, new = situations.taxonomy.pairs(slug), new_pairs(slug)
    before, labels = situations.scores[:, place], situations.labels[:, place]
    renamed = own.scores(words, old)
    table = _with_column(situations.scores, place, renamed)
    found = {
        "before": {"auc": _area(before[None], labels), "chosen": _chosen(situations.scores, (place,))},
        "renamed": _figures(situations.scores, [table], place, labels),
    }
    for share in SHARES:
        count = round(share * len(old))
        tables = []
        for _ in range(1 if share == 1.0 else draws):
            kept = chance.choice(len(old), len(old) - count, replace=False)
            taken = chance.choice(len(new), count, replace=False)
            mixed = own.scores(words, [*(old[i] for i in kept), *(new[i] for i in taken)])
            tables.append(_with_column(situations.scores, place, mixed))
        found[f"renamed, {share:g} of the pairs new"] = _figures(table, tables, place, labels)
    return found


def _split(situations: Situations, own: OwnValues) -> Figures:
    """Both halves in the place of the value: the better of their scores, and who is chosen then."""
    place = situations.column(SPLIT)
    halves = [own.scores(f"{one.label}: {one.definition}", new_pairs(one.slug)) for one in HALVES]
    best, labels = np.max(halves, axis=0), situations.labels[:, place]
    before = situations.scores
    after = np.concatenate([np.delete(before, place, 1), np.stack(halves, 1)], axis=1)
    names = [other for other in range(before.shape[1]) if other != place] + [place] * len(halves)
    width = before.shape[1] + len(halves) - 1
    return {
        "rank": _rank(before[:, place], best[None]),
        "auc before": _area(before[:, place][None], labels),
        "auc": _area(best[None], labels),
        "overlap": _overlap(before, [after], names),
        "chosen before": _chosen(before, (place,)),
        "chosen": _chosen(after, range(width - len(halves), width)),
    }


def _added(situations: Situations, own: OwnValues, slug: str) -> Figures:
    value = next(one for one in ADDED if one.slug == slug)
    scores = own.scores(f"{value.label}: {value.definition}", new_pairs(slug))
    before = situations.scores
    after = np.concatenate([before, scores[:, None]], axis=1)
    return {
        "overlap": _overlap(before, [after], range(after.shape[1])),
        "chosen": _chosen(after, (before.shape[1],)),
    }


# ---------------------------------------------------------------- figures


def _figures(before: FloatArray, after: Sequence[FloatArray], place: int, labels: FloatArray) -> Figures:
    """Of one value, whose column alone has moved; means over draws of tables of scores [N, V]."""
    own = np.stack([table[:, place] for table in after])
    return {
        "rank": _rank(before[:, place], own),
        "auc": _area(own, labels),
        "overlap": _overlap(before, after, range(before.shape[1])),
        "chosen": told(bootstrap_mean(np.mean([_is_chosen(table, (place,)) for table in after], axis=0))),
    }


def _with_column(scores: FloatArray, place: int, own: FloatArray) -> FloatArray:
    table = scores.copy()
    table[:, place] = own
    return table


def _best(scores: FloatArray) -> npt.NDArray[np.intp]:
    """[N, 6] columns of the highest scores, earlier ones first where they are equal."""
    return np.asarray(np.argsort(-scores, axis=1, kind="stable")[:, :CHOSEN])


def _is_chosen(scores: FloatArray, places: Sequence[int]) -> npt.NDArray[np.float64]:
    """[N] 1 where one of the columns is among the highest."""
    return np.asarray(np.isin(_best(scores), list(places)).any(axis=1), dtype=np.float64)


def _chosen(scores: FloatArray, places: Sequence[int]) -> dict[str, Any]:
    return told(bootstrap_mean(_is_chosen(scores, places)))


def _overlap(before: FloatArray, after: Sequence[FloatArray], names: Sequence[int]) -> dict[str, Any]:
    """Share of the six chosen before that are chosen after, the columns of which stand for those of `names`."""
    own = _best(before)
    each = []
    for table in after:
        now = np.asarray(names)[_best(table)]
        each.append((own[:, :, None] == now[:, None, :]).any(2).mean(1))
    return told(bootstrap_mean(np.mean(each, axis=0)))


def _rank(before: FloatArray, after: FloatArray) -> dict[str, Any]:
    """Spearman's correlation of scores [N] with others [draws, N], mean over draws."""
    columns = np.stack([before, *after], axis=1)

    def correlation(rows: FloatArray) -> float:
        ranks = rankdata(rows, axis=0)
        return float(np.corrcoef(ranks, rowvar=False)[0, 1:].mean())

    return told(bootstrap_statistic(correlation, columns, resamples=_RESAMPLES))


def _area(own: FloatArray, labels: FloatArray) -> dict[str, Any] | None:
    """Mean over draws [draws, N] of the AUC against labels [N]; None where a resample may have one class only."""
    if min(labels.sum(), len(labels) - labels.sum()) < 10:
        return None
    figure: Callable[[FloatArray, FloatArray], float] = lambda scores, gold: float(  # noqa: E731
        area(scores, np.repeat(gold[:, None] > 0, scores.shape[1], 1), 0).mean()
    )
    return told(bootstrap_statistic(figure, own.T, labels, resamples=_RESAMPLES))
