"""Signs that a method has gone wrong in a run, whatever its figures say.

Each check gives a figure and a threshold, so that a reader can judge for himself; the thresholds
are ours and can be changed. A check that cannot be made keeps its row, without a figure.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from vispa.evaluation.answers import answer_position, predicted_distribution
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.metrics.base import Side
from vispa.evaluation.runs.folder import ItemRecord
from vispa.evaluation.runs.run import Run, read_run
from vispa.evaluation.score_files import load_scores
from vispa.evaluation.scoring import MethodScores, RunScores
from vispa.files.writing import write_json
from vispa.items.item import Item
from vispa.models.encoder import Encoder
from vispa.modes.prompts import built_in_prompts
from vispa.records import Record
from vispa.request import LETTERS
from vispa.study.fluency import continuation, mean_perplexity, perplexities, repeated_shares
from vispa.taxonomy import Taxonomy

if TYPE_CHECKING:
    from vispa.models.loading import LoadedModel

#: File of a run's signatures.
SIGNATURES_FILE = "signatures.json"


class Thresholds(Record):
    """Beyond which figures a check fires.

    Attributes:
        figures: of the metric's own checks: figure → other threshold than the metric's.
        one_answer: largest share of items with the same letter as answer.
        repetition: largest mean share of 3-grams in a comment that occurred in it before.
        perplexity: largest perplexity of comments under the unsteered model.
        equal_comments: largest share of pairs of one item's comments with the same text.
        similar_comments: largest mean cosine of such pairs.
        never_selected: largest share of values that no item selects.
        always_share: a value counts as always selected from this share of items on.
        unreadable: largest share of items whose answer cannot be read.
        failed: largest share of items that failed.
        missing: largest share of items without a record.
        selections_per_value: never and always are only checked from so many selections a value on.
        compared_items: similarity and perplexity look at so many items at most.
    """

    figures: dict[str, float] = Field(default_factory=dict)
    one_answer: float = 0.9
    repetition: float = 0.2
    perplexity: float = 50.0
    equal_comments: float = 0.1
    similar_comments: float = 0.9
    never_selected: float = 0.25
    always_share: float = 0.95
    unreadable: float = 0.05
    failed: float = 0.01
    missing: float = 0.0
    selections_per_value: float = 5.0
    compared_items: int = 200


class Signature(Record):
    """One check of one method.

    Attributes:
        method: whose answers were checked.
        name: which check it is.
        figure: what was measured; None where it cannot be.
        threshold: beyond which it fires.
        side: on which side of the threshold it fires.
        fired: whether it does.
        advice: what the check means, and what to do when it fires.
        detail: which values or answers are concerned, or why there is no figure.
    """

    method: str
    name: str
    figure: float | None
    threshold: float
    side: Side
    fired: bool
    advice: str
    detail: str = ""


def check_folder(folder: Path, *, data: Path | None = None, **parts: Any) -> list[Signature]:
    """Check the scored run of a folder; see `check`.

    Args:
        folder: of the run.
        data: see `vispa.evaluation.runs.run.read_run`.
        **parts: see `check`.

    Raises:
        InputError: see `read_run` and `load_scores`.
    """
    run = read_run(folder, data)
    return check(run, load_scores(run), **parts)


def check(
    run: Run,
    scores: RunScores,
    *,
    encoder: Encoder | None = None,
    loaded: LoadedModel | None = None,
    taxonomy: Taxonomy | None = None,
    thresholds: Thresholds | None = None,
) -> list[Signature]:
    """Check every method of a scored run and write `signatures.json` into its folder.

    Args:
        run: that was scored.
        scores: its scores.
        encoder: of sentences, to compare comments; without one only equal texts are seen.
        loaded: the unsteered model, to see whether comments are coherent.
        taxonomy: whose values could be selected; the built-in one by default.
        thresholds: other ones than ours.

    Returns:
        The checks, method by method; those that fired first.
    """
    limits, known = thresholds or Thresholds(), taxonomy or Taxonomy.built_in()
    found: list[Signature] = []
    for method in run.records:
        found += _answers(run, scores.methods[method], method, limits)
        found += _comments(run, method, limits, encoder, loaded)
        found += _values(run, method, limits, known)
    found.sort(key=lambda one: not one.fired)
    write_json(run.folder / SIGNATURES_FILE, [one.model_dump(mode="json") for one in found])
    return found


# ---------------------------------------------------------------- answers


def _answers(run: Run, scores: MethodScores, method: str, limits: Thresholds) -> Iterator[Signature]:
    counts = scores.counts
    for name, advice in _COUNTED.items():
        figure = getattr(counts, name) / counts.items
        yield _signature(method, name, figure, getattr(limits, name), "above", advice)
    for check in METRICS[run.task.metric].checks(run.items, scores.figures, limits.figures):
        yield _signature(method, check.name, check.figure, check.threshold, check.side, check.advice, check.detail)
    # An item with a single option leaves no choice.
    chosen = [_letter(run, method, item) for item in run.items if len(item.options) > 1]
    letters = Counter(letter for letter in chosen if letter is not None)
    if letters:
        letter, count = min(letters.items(), key=lambda pair: (-pair[1], pair[0]))
        yield _signature(
            method, "one answer", count / letters.total(), limits.one_answer, "above", _ONE_ANSWER, f"answer {letter}"
        )


def _letter(run: Run, method: str, item: Item) -> str | None:
    """Letter of the option that was answered, or of the likeliest one where there is no letter."""
    record = run.records[method].get(item.id)
    if record is None or run.outcome(method, item) != "answered":
        return None
    position = answer_position(record, item)
    if position is None:
        shares = predicted_distribution(record, item)
        return None if shares is None else LETTERS[int(np.argmax(shares))]
    return LETTERS[position]


# ---------------------------------------------------------------- comments


def _comments(
    run: Run, method: str, limits: Thresholds, encoder: Encoder | None, loaded: LoadedModel | None
) -> Iterator[Signature]:
    records = [run.records[method][i] for i in run.ids if i in run.records[method]]
    texts = [text for record in records for _, text in _texts(record)]
    if not texts:
        return
    repetition = float(repeated_shares(texts).mean())
    yield _signature(method, "repetition", repetition, limits.repetition, "above", _INCOHERENT)
    sample = _spread([record for record in records if record.comments], limits.compared_items)
    yield _perplexity(run, method, sample, limits, loaded)
    pairs = [pair for record in records for pair in _pairs(record)]
    if not pairs:
        return
    equal = float(np.mean([first == second for first, second in pairs]))
    yield _signature(method, "equal comments", equal, limits.equal_comments, "above", _SAME)
    yield _similarity(method, sample, limits, encoder)


def _perplexity(
    run: Run, method: str, sample: Sequence[ItemRecord], limits: Thresholds, loaded: LoadedModel | None
) -> Signature:
    if loaded is None:
        return _signature(method, "perplexity", None, limits.perplexity, "above", _INCOHERENT, "no model was given")
    from vispa.items.asking import comment_request
    from vispa.models.encoding import chat_prompt, recorded_prompt

    wording = replace(built_in_prompts(), **run.config.get("prompts", {}))
    items = {item.id: item for item in run.items}
    rows = []
    for record in sample:
        # What was steered, and what comments from elsewhere, which have no prompt of this model, are read after.
        own = chat_prompt(loaded, comment_request(items[record.id], wording))
        for comment in record.comments:
            asked = own.text if comment.prompt is None else comment.prompt
            rows.append((own if asked == own.text else recorded_prompt(loaded, asked), comment.text))
    values = perplexities(loaded, [prompt for prompt, _ in rows], [continuation(p.text, text) for p, text in rows])
    figure = float(mean_perplexity(values, (0,)))
    detail = f"comments of {len(sample)} items"
    return _signature(
        method, "perplexity", figure if np.isfinite(figure) else None, limits.perplexity, "above", _INCOHERENT, detail
    )


def _similarity(method: str, sample: Sequence[ItemRecord], limits: Thresholds, encoder: Encoder | None) -> Signature:
    name, limit = "similar comments", limits.similar_comments
    pairs = [pair for record in sample for pair in _pairs(record)]
    if encoder is None or not pairs:
        reason = "no encoder was given" if encoder is None else "no item has two comments"
        return _signature(method, name, None, limit, "above", _SAME, reason)
    texts = sorted({text for pair in pairs for text in pair})
    vectors = dict(zip(texts, encoder.encode(texts).astype(np.float64), strict=True))
    cosine = float(np.mean([vectors[first] @ vectors[second] for first, second in pairs]))
    return _signature(method, name, cosine, limit, "above", _SAME, f"comments of {len(sample)} items")


def _texts(record: ItemRecord) -> list[tuple[str, str]]:
    """Whose each comment is (value or source), and what it says."""
    return [
        (comment.value or comment.source or str(place), comment.text) for place, comment in enumerate(record.comments)
    ]


def _pairs(record: ItemRecord) -> list[tuple[str, str]]:
    """Every two comments of different values or sources."""
    return [
        (first[1].strip(), second[1].strip())
        for first, second in itertools.combinations(_texts(record), 2)
        if first[0] != second[0]
    ]


def _spread(records: Sequence[ItemRecord], most: int) -> list[ItemRecord]:
    """At most so many records, evenly spaced."""
    places = sorted({int(place) for place in np.linspace(0, len(records) - 1, min(most, len(records)))})
    return [records[place] for place in places]


# ---------------------------------------------------------------- values


def value_use(run: Run, method: str) -> dict[str, float]:
    """Value → share of a method's recorded items that use it; only values that occur."""
    records = list(run.records[method].values())
    uses = Counter(value for record in records for value in set(record.values))
    return {value: uses[value] / len(records) for value in sorted(uses)}


def _values(run: Run, method: str, limits: Thresholds, taxonomy: Taxonomy) -> Iterator[Signature]:
    use = value_use(run, method)
    if not use:
        return
    selections = sum(len(set(record.values)) for record in run.records[method].values())
    too_few = selections < limits.selections_per_value * len(taxonomy)
    reason = f"{selections} selections are too few to tell" if too_few else ""
    never = [slug for slug in taxonomy if slug not in use]
    always = [slug for slug, share in use.items() if share >= limits.always_share]
    checks: tuple[tuple[str, list[str], float], ...] = (
        ("never selected", never, limits.never_selected),
        ("always selected", always, 0.0),
    )
    for name, slugs, limit in checks:
        figure = None if too_few else len(slugs) / len(taxonomy)
        yield _signature(method, name, figure, limit, "above", _SELECTION, reason or ", ".join(slugs))


# ---------------------------------------------------------------- words


def _signature(
    method: str, name: str, figure: float | None, threshold: float, side: Side, advice: str, detail: str = ""
) -> Signature:
    beyond: Callable[[float], bool] = (lambda x: x > threshold) if side == "above" else (lambda x: x < threshold)
    return Signature(
        method=method,
        name=name,
        figure=figure,
        threshold=threshold,
        side=side,
        fired=figure is not None and beyond(figure),
        advice=advice,
        detail=detail,
    )


_COUNTED = {
    "unreadable": "Answers cannot be read: look at examples and make the prompt ask for a letter, "
    "or read option probabilities instead.",
    "failed": "Items ended in an error and score as wrong: read the errors in the records and run them again.",
    "missing": "The run has not come to its end and missing items score as wrong: resume it before reading figures.",
}
_ONE_ANSWER = "Nearly every item gets the same letter: the reader may favour a position, so vary the options' order."
_INCOHERENT = "Comments repeat themselves or are unlikely text: steer less (a lower target, a cap, or fewer blocks)."
_SAME = (
    "Comments of different values say the same: steer more, ask for more diverse values, or look at which directions "
    "are alike."
)
_SELECTION = (
    "Some values are never, or always, selected: check the selector on texts where the right values are known, "
    "unless the run names its values or the data speak of few."
)
