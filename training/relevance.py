"""Train the relevance head of the embedding selector: `python -m training.relevance`.

Labelled situations in, one logistic regression a value out. Prints the cross-validated mean
per-value AUC for several penalties, so that the one in `vispa.selection.head` can be checked.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from vispa.models.encoder import FloatArray, load_encoder
from vispa.selection.head import fit_head, label_matrix, load_situations
from vispa.selection.shared_head import HEAD_FILE, fit_reference
from vispa.taxonomy import Taxonomy

_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)


def cross_validated(embeddings: FloatArray, labels: FloatArray, values: list[str], penalty: float) -> float:
    """Mean per-value AUC over five folds; values with fewer than five situations are left out."""
    scores = np.zeros_like(labels)
    for train, test in KFold(5, shuffle=True, random_state=0).split(embeddings):
        scores[test] = fit_head(embeddings[train], labels[train], values, penalty).probabilities(embeddings[test])
    usable = [v for v in range(labels.shape[1]) if 5 <= labels[:, v].sum() <= len(labels) - 5]
    return float(np.mean([roc_auc_score(labels[:, v], scores[:, v]) for v in usable]))


def main() -> None:
    """Cross-validate, fit on everything, write the head into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print the figures, write nothing")
    arguments = parser.parse_args()
    taxonomy = Taxonomy.built_in()
    values = list(taxonomy)
    labelled = load_situations()
    labels = label_matrix(labelled, values)
    encoder = load_encoder()
    embeddings = encoder.encode(labelled.texts)
    print(f"{len(labelled.texts)} situations; per value {int(labels.sum(0).min())} to {int(labels.sum(0).max())}")
    for penalty in _PENALTIES:
        print(f"C = {penalty:<5} cross-validated mean AUC {cross_validated(embeddings, labels, values, penalty):.3f}")
    if not arguments.dry_run:
        fit_reference(encoder).save(HEAD_FILE, {"encoder": encoder.name})
        print(f"wrote {HEAD_FILE}")


if __name__ == "__main__":
    main()
