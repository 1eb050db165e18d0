"""Sentence encoders that are fetched by name: larger than the bundled one, and better at telling values."""

from __future__ import annotations

import torch

from vispa.models.encoder import MPNET, TransformerEncoder
from vispa.models.processor import has_fast_bfloat16
from vispa.models.sources.named import named_model
from vispa.models.sources.progress import Progress
from vispa.once import once

#: Of the weights of all-mpnet-base-v2.
MPNET_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"


@once
def mpnet_encoder() -> TransformerEncoder:
    """all-mpnet-base-v2, fetched if it is not there: one in a process, on a GPU where there is one.

    Raises:
        ModelError: it cannot be fetched, or its weights are others.
    """
    gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if not gpu and has_fast_bfloat16() else torch.float32
    return load_mpnet(device="cuda" if gpu else "cpu", dtype=dtype)


def load_mpnet(
    *, device: str = "cpu", dtype: torch.dtype = torch.float32, progress: Progress | None = None
) -> TransformerEncoder:
    """all-mpnet-base-v2 anew; see `mpnet_encoder`.

    Args:
        device: that it runs on.
        dtype: of its weights.
        progress: told of fetching it.
    """
    model = named_model(MPNET)
    return TransformerEncoder(model.label, model.get(progress), MPNET_SHA256, device=device, dtype=dtype)
