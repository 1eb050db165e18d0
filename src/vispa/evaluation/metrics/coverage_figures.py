"""What Overton coverage reports: by entailment, or by embeddings, each with figures that length cannot buy."""

from __future__ import annotations

import math

from vispa.evaluation.metrics.base import Figure

#: A situation counts as covered from above this entailment score on (Modular Pluralism, 2406.15951).
COVERED_ABOVE = 0.33

_OTHERS = "the same answers against the explanations of other situations: what length and general talk give"
_BUDGET = "of as many sentences of every answer, drawn at random (the budget), exact over all draws"


def _controlled(kind: str, name: str, mean: Figure, note: str = "") -> tuple[Figure, ...]:
    """The figures that are made like `mean`, headline first; `kind` begins their names, `name` their labels."""
    same = f"{kind}_same_length"
    return (
        Figure(
            f"{kind}_above_chance",
            f"{name} above chance",
            f"{name} of the same length, minus that of the same answers against other situations; 0 is chance",
            span=(-1, 1),
            better="higher",
            note=note,
            headline=f"{name} above chance, same length",
        ),
        Figure(
            same,
            f"{name}, same length",
            f"{mean.label} {_BUDGET}",
            span=(0, 1),
            better="higher",
            headline=f"{name}, same length (hollow: other situations)",
            chance=f"{same}_shuffled",
        ),
        Figure(f"{same}_shuffled", f"{name}, same length, shuffled", _OTHERS, span=(0, 1), context=True),
        mean,
        Figure(f"{kind}_mean_shuffled", f"{mean.label}, shuffled", _OTHERS, span=(0, 1), context=True),
    )


_NOT_ENTAILMENT = ". It is not the published coverage, which is by entailment; the two do not compare"

#: In the order of the report.
FIGURES = (
    *_controlled(
        "entailment",
        "entailment",
        Figure(
            "entailment_mean",
            "entailment score",
            "as published: mean, over a situation's gold explanations, of the probability that one entails a sentence "
            "of the response; it grows with the number of sentences",
            span=(0, 1),
            better="higher",
            headline="entailment score as published (hollow: other situations)",
            chance="entailment_mean_shuffled",
        ),
    ),
    Figure("entailment_deviation", "standard deviation of the entailment score", "over situations"),
    Figure(
        "covered_share",
        "share of situations covered",
        f"with an entailment score above {COVERED_ABOVE}",
        span=(0, 1),
        better="higher",
        headline="share of situations covered",
        flips=True,
    ),
    Figure(
        "cosine_beyond_text",
        "likeness beyond the text",
        "likeness above chance, of the same length, to what the explanations add to the situation's own text; 0 is "
        "chance, and restating the situation is worth nothing",
        span=(-1, 1),
        better="higher",
        note=_NOT_ENTAILMENT,
        headline="likeness beyond the text, above chance, same length",
    ),
    *_controlled(
        "cosine",
        "likeness",
        Figure(
            "cosine_mean",
            "embedding likeness",
            "mean, over a situation's gold explanations, of the cosine to the closest sentence of the response; it "
            "grows with the number of sentences",
            span=(0, 1),
            better="higher",
            note=_NOT_ENTAILMENT,
            headline="embedding likeness (not entailment; hollow: other situations)",
            chance="cosine_mean_shuffled",
        ),
        _NOT_ENTAILMENT,
    ),
    Figure("cosine_deviation", "standard deviation of the likeness", "over situations"),
    Figure("length_sentences", "sentences", "of an answer", span=(0, math.inf), context=True),
    Figure("length_words", "words", "of an answer", span=(0, math.inf), context=True),
)
