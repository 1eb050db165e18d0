"""Train the relevance head of the embedding selector: `python -m training.relevance`.

Labelled situations of the training split in, one logistic regression a value out. Prints the mean per-value AUC on the
development split for several penalties, so that the one in `vispa.selection.head` can be checked.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.metrics import roc_auc_score

from vispa.models.encoder import FloatArray, load_encoder
from vispa.selection.head import fit_head
from vispa.selection.labelled import DEVELOPMENT, TRAINING, label_matrix, load_situations
from vispa.selection.shared_head import HEAD_FILE, fit_reference
from vispa.taxonomy import Taxonomy

_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)


def mean_auc(scores: FloatArray, labels: FloatArray) -> float:
    """Mean per-value AUC; values with fewer than five situations on either side are left out."""
    usable = [v for v in range(labels.shape[1]) if 5 <= labels[:, v].sum() <= len(labels) - 5]
    return float(np.mean([roc_auc_score(labels[:, v], scores[:, v]) for v in usable]))


def main() -> None:
    """Compare penalties, fit, write the head into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print the figures, write nothing")
    arguments = parser.parse_args()
    taxonomy = Taxonomy.built_in()
    values = list(taxonomy)
    splits = [load_situations(path) for path in (TRAINING, DEVELOPMENT)]
    labels, held_out = (label_matrix(split, values) for split in splits)
    encoder = load_encoder()
    embeddings, held_out_embeddings = (encoder.encode(split.texts) for split in splits)
    print(f"{len(labels)} situations; per value {int(labels.sum(0).min())} to {int(labels.sum(0).max())}")
    for penalty in _PENALTIES:
        scores = fit_head(embeddings, labels, values, penalty).probabilities(held_out_embeddings)
        print(f"C = {penalty:<5} mean AUC on the development split {mean_auc(scores, held_out):.3f}")
    if not arguments.dry_run:
        fit_reference(encoder).save(HEAD_FILE, {"encoder": encoder.name})
        print(f"wrote {HEAD_FILE}")


if __name__ == "__main__":
    main()
