"""A bank of random directions, and recipes of each magnitude for it."""

from __future__ import annotations

import torch

from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import BankInfo, Entry
from vispa.steering.estimators.base import Directions
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

VALUES = ("calm", "thrift", "candor")
BLOCKS, WIDTH = 4, 32
COEFFICIENT = Recipe("mean", (1, 2, 3), magnitude="coefficient", amount=1.5, minimal_quality=0.0)
RESIDUAL = Recipe("mean", (1, 2, 3), magnitude="residual", amount=0.4, minimal_quality=0.0)
CALIBRATED = Recipe("probe", (1, 2, 3), magnitude="calibrated", amount=0.9, minimal_quality=0.0)


def random_bank(recipe: Recipe = COEFFICIENT, seed: int = 0, **info: object) -> VectorBank:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(VALUES), BLOCKS, WIDTH, generator=generator)
    quality = torch.rand(len(VALUES), BLOCKS, generator=generator) / 2 + 0.5
    bias, norm = torch.randn(len(VALUES), BLOCKS, generator=generator), quality + 1
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    entries = {
        "mean": Entry(Directions(vectors=vectors, quality=quality, separation=quality.clone()), "last", "pairs"),
        "probe": Entry(
            Directions(vectors=unit, quality=quality.clone(), separation=quality.clone(), bias=bias, weight_norm=norm),
            "last",
            "pairs",
        ),
    }
    about = {"model": "lab/small-llama", "model_fingerprint": "a" * 64, "taxonomy_fingerprint": "b" * 64, **info}
    return VectorBank(
        BankInfo(**about, values=VALUES, versions={"torch": "2"}), entries, torch.tensor([2.0, 4.0, 8.0, 16.0]), recipe
    )


def same(left: dict[int, torch.Tensor], right: dict[int, torch.Tensor]) -> bool:
    return list(left) == list(right) and all(torch.equal(left[block], right[block]) for block in left)


def random_bank_of(model: LoadedModel, taxonomy: Taxonomy) -> VectorBank:
    """A bank without a fit, which takes half a minute."""
    vectors = torch.randn(len(taxonomy), len(model.blocks), model.hidden_size, generator=torch.Generator())
    quality = torch.ones(vectors.shape[:2])
    entry = Entry(Directions(vectors=vectors, quality=quality, separation=quality), "last", "pairs")
    info = BankInfo(
        model=model.name,
        model_fingerprint=model.fingerprint,
        taxonomy_fingerprint=taxonomy.fingerprint,
        values=tuple(taxonomy),
        versions={},
    )
    recipe = Recipe("mean", (1,), magnitude="residual", amount=0.1)
    return VectorBank(info, {"mean": entry}, torch.ones(len(model.blocks)), recipe)
