"""Banks of random directions, and recipes of each magnitude for one of them."""

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
    entries = entries_of(vectors, unit, quality, bias, norm)
    about = {"model": "lab/small-llama", "model_fingerprint": "a" * 64, "taxonomy_fingerprint": "b" * 64, **info}
    return VectorBank(
        BankInfo(**about, values=VALUES, versions={"torch": "2"}), entries, torch.tensor([2.0, 4.0, 8.0, 16.0]), recipe
    )


def entries_of(
    mean: torch.Tensor, probe: torch.Tensor, quality: torch.Tensor, bias: torch.Tensor, weight_norm: torch.Tensor
) -> dict[str, Entry]:
    """The entries `mean` and `probe` with these vectors, alike in quality."""
    own = Directions(
        vectors=probe, quality=quality.clone(), separation=quality.clone(), bias=bias, weight_norm=weight_norm
    )
    return {
        "mean": Entry(Directions(vectors=mean, quality=quality, separation=quality.clone()), "last", "pairs"),
        "probe": Entry(own, "last", "pairs"),
    }


def same(left: dict[int, torch.Tensor], right: dict[int, torch.Tensor]) -> bool:
    return list(left) == list(right) and all(torch.equal(left[block], right[block]) for block in left)


def random_bank_of(
    model: LoadedModel, taxonomy: Taxonomy, recipe: Recipe | None = None, seed: int | None = None
) -> VectorBank:
    """A bank without a fit, which takes half a minute; `seed` draws other directions than the usual ones."""
    generator = torch.Generator() if seed is None else torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(taxonomy), len(model.blocks), model.hidden_size, generator=generator)
    quality = torch.ones(vectors.shape[:2])
    entry = Entry(Directions(vectors=vectors, quality=quality, separation=quality), "last", "pairs")
    recipe = recipe or Recipe("mean", (1,), magnitude="residual", amount=0.1)
    info = info_of(model, taxonomy.fingerprint, tuple(taxonomy))
    return VectorBank(info, {"mean": entry}, torch.ones(len(model.blocks)), recipe)


def info_of(model: LoadedModel, taxonomy_fingerprint: str, values: tuple[str, ...]) -> BankInfo:
    """What a bank of a model is bound to; it does not say what its directions were made with."""
    return BankInfo(model.name, model.fingerprint, taxonomy_fingerprint, values, versions={})
