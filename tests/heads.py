"""Heads at random."""

from __future__ import annotations

import numpy as np

from vispa.selection.head import Calibration, Unlabelled


def random_unlabelled(values: int, width: int, seed: int = 0) -> Unlabelled:
    """What values without labels are compared with, at random."""
    random = np.random.default_rng(seed)
    situations, definitions, sentences = random.normal(size=(3, width)).astype(np.float32)
    parts = random.normal(size=(values, 3 * values + 1)).astype(np.float32)
    return Unlabelled(situations, definitions, sentences, parts @ parts.T, 0.3, Calibration(0.7, -1.5))
