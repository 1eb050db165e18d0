"""From scores to selected values: how many, and how different from each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vispa.errors import NumericalError
from vispa.models.encoder import Encoder, FloatArray, load_encoder
from vispa.once import once_property
from vispa.records import Choosing, Selection
from vispa.request import Count, Request, check_diversity, check_threshold, resolved_count
from vispa.selection.covering import covering
from vispa.selection.diversity import checked_similarity, definition_similarity, marginally_relevant
from vispa.selection.dividing import read_texts
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.languages import check_readable
from vispa.selection.selector import ModelReadingSelector, Selector
from vispa.taxonomy import Taxonomy

if TYPE_CHECKING:
    from vispa.models.loading import LoadedModel
    from vispa.selection.explaining import Explained


class Chooser:
    """Chooses values for texts with a selector: the one way for answers and for `vispa select`.

    Args:
        selector: scores the values.
        model: the language model that is steered, for a selector that reads it.
    """

    def __init__(self, selector: Selector, model: LoadedModel | None = None) -> None:
        self.selector = selector
        if model is not None and isinstance(selector, ModelReadingSelector):
            selector.read_with(model)

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Selector.scores`; of texts that the selector reads in parts too (`vispa.selection.dividing`).

        Raises:
            NumericalError: a score is not finite.
        """
        return read_texts(self.selector, texts, progress)[0]

    def stances(self, texts: Sequence[str]) -> FloatArray | None:
        """See `StanceSelector.stances`, of any texts as in `scores`; None where the selector is none."""
        return read_texts(self.selector, texts)[1]

    def choose(
        self,
        row: FloatArray,
        promotes: FloatArray | None = None,
        *,
        k: Count | None = None,
        threshold: float = 0.0,
        diversity: float = 0.0,
    ) -> tuple[Selection, ...]:
        """The values of one row of scores [V], with their stances [V] where they are given; see `choose`."""
        return choose(
            row[None],
            self.selector.taxonomy,
            None if promotes is None else promotes[None],
            k=k,
            threshold=threshold,
            diversity=diversity,
            similarity=self._similarity if diversity > 0 or k == "auto" else None,
        )[0]

    def select(self, requests: Sequence[Request], *, weighs: bool = False) -> list[tuple[Selection, ...]]:
        """The values of each request, most relevant first: those that it names, or those that are chosen.

        Args:
            requests: checked ones, whose values are slugs (`vispa.modes.checking.checked`).
            weighs: see `check`.

        Raises:
            LanguageError: see `check`.
            NumericalError: a score is not finite.
        """
        for request in requests:
            self.check(request, weighs=weighs)
        scores, stances = read_texts(self.selector, [request.text for request in requests])
        sides = [None] * len(requests) if stances is None else stances
        return [self._selected(*one) for one in zip(requests, scores, sides, strict=True)]

    def check(self, request: Request, *, weighs: bool = False) -> None:
        """Refuse a text that the selector cannot read, where values are to be selected for it, or weighed by scores.

        Args:
            request: about the text.
            weighs: whether scores weigh the values of distributional mode, those that a request names too.

        Raises:
            InputError, LanguageError: see `vispa.selection.languages.check_readable`.
        """
        if not request.values or (weighs and request.mode == "distributional"):
            check_readable(self.selector, [request.text])

    def _selected(self, request: Request, row: FloatArray, promotes: FloatArray | None) -> tuple[Selection, ...]:
        if not request.values:
            return self.choose(row, promotes, k=request.k, threshold=request.threshold, diversity=request.diversity)
        slugs = list(self.selector.taxonomy)
        named = sorted((slugs.index(slug) for slug in request.values), key=lambda column: -row[column])
        return _selections(slugs, named, row, promotes)

    def explain(self, texts: Sequence[str], selections: Sequence[Sequence[Selection]]) -> list[tuple[Explained, ...]]:
        """The selected values of N texts, each with the words that carry its score; see `explanations`."""
        from vispa.selection.explaining import explained

        return explained(self.selector, texts, selections)

    def record(self, text: str, selected: Sequence[Selection]) -> dict[str, Any]:
        """The values of a text, as JSON can say them."""
        return {"text": text, "values": [one.model_dump() for one in selected], "selector": self.selector.name}

    def choosing(self, request: Request) -> Choosing:
        """How the values of a request are chosen, as the record of its answer says it."""
        if request.values:
            return Choosing(named=tuple(request.values))
        return Choosing(
            k=resolved_count(request.k, len(self.selector.taxonomy)),
            threshold=request.threshold,
            diversity=request.diversity,
            encoder=self.encoder.name if request.diversity > 0 or request.k == "auto" else None,
        )

    @once_property
    def encoder(self) -> Encoder:
        """Of definitions: the selector's own encoder, or the bundled one where it has none that compares texts."""
        if isinstance(self.selector, EmbeddingSelector) and self.selector.compares:
            return self.selector.encoder
        return load_encoder()

    @once_property
    def _similarity(self) -> FloatArray:
        return definition_similarity(self.encoder, self.selector.taxonomy)


def choose(
    scores: FloatArray,
    taxonomy: Taxonomy,
    promotes: FloatArray | None = None,
    *,
    k: Count | None = None,
    threshold: float = 0.0,
    diversity: float = 0.0,
    similarity: npt.NDArray[np.floating] | None = None,
) -> list[tuple[Selection, ...]]:
    """The most relevant values of each row of scores, most relevant first.

    The highest value always stays, even under the threshold, so that there is an answer.
    Equal scores keep the taxonomy's order.

    Args:
        scores: relevance, [N, V] in [0, 1].
        taxonomy: the V values in the order of the columns.
        promotes: stances that selections tell, [N, V] (see `StanceSelector.stances`); none by default.
        k: number of values, or `auto` (see `covering`); by default `DEFAULT_K`, or all of a smaller taxonomy.
        threshold: least score of a value.
        diversity: from 0, the highest scores, to 1, values as unlike each other as can be; it decides
            which values are chosen, not how many (see `vispa.selection.diversity`).
        similarity: of the values to each other, [V, V]; see `definition_similarity`. Needed
            where diversity is above 0; with `auto`, values are not held to repeat each other without it.

    Returns:
        N tuples of selections.

    Raises:
        InputError: k, threshold or diversity out of range, or a similarity that does not fit.
        NumericalError: a score is not finite; names its row.
    """
    k = resolved_count(k, len(taxonomy))
    check_threshold(threshold)
    check_diversity(diversity)
    needed = diversity > 0 or (k == "auto" and similarity is not None)
    likeness = checked_similarity(similarity, len(taxonomy)) if needed else None
    slugs = list(taxonomy)
    chosen = []
    for number, row in enumerate(scores):
        if not np.isfinite(row).all():
            raise NumericalError(f"The scores of row {number} are not finite; no values can be chosen by them.", number)
        order = np.argsort(-row, kind="stable")
        candidates = [int(i) for rank, i in enumerate(order) if rank == 0 or row[i] >= threshold]
        picked = covering(row, candidates, likeness) if k == "auto" else candidates[:k]
        if likeness is not None and diversity > 0:
            picked = marginally_relevant(row, candidates, len(picked), diversity, likeness)
        picked.sort(key=candidates.index)
        chosen.append(_selections(slugs, picked, row, None if promotes is None else promotes[number]))
    return chosen


def _selections(
    slugs: Sequence[str], columns: Sequence[int], row: FloatArray, promotes: FloatArray | None
) -> tuple[Selection, ...]:
    """The values of some columns of a row of scores [V] and of stances [V]."""
    sides = np.full(len(row), np.nan) if promotes is None else promotes
    return tuple(
        Selection(
            value=slugs[i],
            score=round(float(row[i]), 4),
            promotes=None if np.isnan(sides[i]) else round(float(sides[i]), 4),
        )
        for i in columns
    )
