"""How well selectors rank values: mean per-value AUC on VITAL situations, and texts a second.

    python benchmarks/selection.py --data DIR/vital_overton_valuekaleidoscope.json

The gold values, rights and duties are mapped to the taxonomy by data/vital_mapping.toml.
Values at stake in fewer than 20 or in all but 20 situations are left out of the mean and named.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from vispa.models.encoder import load_encoder
from vispa.selection.embedding import EmbeddingSelector
from vispa.taxonomy import Taxonomy

MAPPING = Path(__file__).parent / "data" / "vital_mapping.toml"
MINIMUM = 20


def gold_matrix(items: list[dict[str, list[str]]], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """[N, V], true where a gold string of the item matches a pattern of the value."""
    patterns = {slug: re.compile("|".join(p)) for slug, p in tomllib.loads(MAPPING.read_text(encoding="utf-8")).items()}
    rows = [[any(patterns[slug].search(v.lower()) for v in item["vrd"]) for slug in taxonomy] for item in items]
    return np.array(rows)


def mean_auc(scores: npt.NDArray[np.float32], gold: npt.NDArray[np.bool_]) -> tuple[float, dict[int, float]]:
    """Mean over values, and the AUC of each value that has enough items on both sides."""
    counts = gold.sum(0)
    usable = [v for v in range(gold.shape[1]) if MINIMUM <= counts[v] <= len(gold) - MINIMUM]
    by_value = {v: float(roc_auc_score(gold[:, v], scores[:, v])) for v in usable}
    return float(np.mean(list(by_value.values()))), by_value


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    items = json.loads(arguments.data.read_text(encoding="utf-8"))
    texts = [item["situation"] for item in items]
    taxonomy = Taxonomy.built_in()
    gold = gold_matrix(items, taxonomy)
    encoder = load_encoder()
    encoder.encode(texts[:32])
    embeddings = encoder.encode(texts)
    labels = encoder.encode([value.label for value in taxonomy.values])
    definitions = encoder.encode([f"{value.label}: {value.definition}" for value in taxonomy.values])
    selector = EmbeddingSelector(taxonomy, encoder)
    selector.scores(texts[:8])
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        scores = selector.scores(texts)
        seconds.append(time.perf_counter() - started)
    rows = {
        "cosine to label": mean_auc(embeddings @ labels.T, gold),
        "cosine to definition": mean_auc(embeddings @ definitions.T, gold),
        "relevance head": mean_auc(scores, gold),
    }
    slugs = list(taxonomy)
    used = rows["relevance head"][1]
    print(
        f"{len(texts)} situations, {len(used)} values; left out: "
        + (", ".join(s for i, s in enumerate(slugs) if i not in used) or "none")
    )
    for name, (mean, _) in rows.items():
        print(f"{name:<22} mean AUC {mean:.3f}")
    rates = sorted(len(texts) / s for s in seconds)
    print(f"texts a second: {rates[1]:.0f} (of three runs, {rates[0]:.0f} to {rates[2]:.0f})")
    for number, auc in sorted(used.items(), key=lambda item: item[1]):
        print(f"  {slugs[number]:<24} {auc:.3f}  ({int(gold[:, number].sum())} situations)")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"mean_auc": {name: mean for name, (mean, _) in rows.items()}, "texts_a_second": rates[1]})
        )


if __name__ == "__main__":
    main()
