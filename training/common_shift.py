"""Give a bank's refined directions what comments written for all values have in common.

    python -m training.common_shift BANK OUTPUT [--values 1.05] [--common 0.37] [--half-life 40]

Vectors that are trained on `benchmarks/data/written_comments.csv` (48 situations, a comment for each of the 31 values)
mostly learn one thing whatever the value: to speak of the situation's own people and things. By itself each becomes
weaker; but the mean of what all learnt, a share of it added to the vectors as they were, keeps comments closer to their
situation at the same expression. BANK is a file with a tuned recipe of fixed amounts; OUTPUT gets a bank whose recipe
adds so much of the vectors and of what they have in common. Takes about ten minutes on two cores for SmolLM2.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.fine_tuning.lessons import written_examples
from training.tuned_by_hand import record_with
from vispa.cli.console import progress_bars
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Recipe
from vispa.tuning.examples import Example
from vispa.tuning.refining import fixed_vectors, refined_vectors, with_refined


def common_shift(loaded: LoadedModel, start: torch.Tensor, recipe: Recipe, examples: Sequence[Example]) -> torch.Tensor:
    """[1, L, H] what vectors learn from comments whatever their value.

    Args:
        loaded: the model.
        start: [V, L, H] the vectors before, as they are added to the residual stream.
        recipe: where and how long they are added.
        examples: comments for every value on the same situations.
    """
    blocks = recipe.chosen_blocks(len(loaded.blocks))
    with progress_bars() as progress:
        learnt = refined_vectors(
            loaded, start, blocks, examples,
            epochs=1, subject_share=recipe.subject_share, remains=recipe.remains,
            progress=lambda count: progress("learning from comments", count, len(examples)),
        )  # fmt: skip
    return (learnt - start).mean(0, keepdim=True)


def main() -> None:
    """Write the bank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", type=Path, help="file with a tuned recipe")
    parser.add_argument("output", type=Path, help="file to write")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--values", type=float, default=1.05, help="share of the vectors as they were")
    parser.add_argument("--common", type=float, default=0.37, help="share of what they have in common")
    parser.add_argument("--half-life", type=float, default=40.0, help="tokens after which half of a shift remains")
    arguments = parser.parse_args()
    loaded = load_model(arguments.model, dtype="float32")
    bank = VectorBank.load(arguments.bank)
    recipe = bank.recipe
    start = fixed_vectors(bank, recipe)
    common = common_shift(loaded, start, recipe, written_examples(loaded, list(bank.info.values)))
    found = with_refined(bank, arguments.values * start + arguments.common * common, recipe)
    blocks = recipe.chosen_blocks(len(loaded.blocks))
    kept = replace(recipe, blocks=blocks, magnitude="coefficient", amount=1.0, half_life=arguments.half_life)
    words = (
        f"To {arguments.values:g} of the vectors, {arguments.common:g} of what they learn in common from comments that "
        "were written for all values was added (training/common_shift.py)."
    )
    found.with_tuned(kept, record_with(bank, words)).save(arguments.output)


if __name__ == "__main__":
    main()
