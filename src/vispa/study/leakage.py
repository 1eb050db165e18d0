"""What steering toward one value does to the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vispa.generation.rows import Row
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import Prompt
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.fitting import Progress
from vispa.steering.recipe import Recipe, Steer
from vispa.study.probing import PROBE, last_steered_block, probe_logits


@dataclass(frozen=True)
class Leakage:
    """How much the probes of V values move when a model is steered toward each of them.

    Attributes:
        block: after which the probes were read.
        values: slugs of the V values.
        accuracy: [V] held-out accuracy of each probe at that block: how far to trust its column.
        unsteered: [V] mean probability without steering.
        change: [V, V] mean probability of the column's value, steered toward the row's, minus
            the unsteered one.
        logit_change: [V, V] the same of the logit, which still moves where a probability is all
            but 0 or 1 already.
    """

    block: int
    values: tuple[str, ...]
    accuracy: npt.NDArray[np.float64]
    unsteered: npt.NDArray[np.float64]
    change: npt.NDArray[np.float64]
    logit_change: npt.NDArray[np.float64]

    def strongest(self, value: str) -> tuple[str, float] | None:
        """The other value whose probability moves most, and by how much; None if there is no other."""
        place = self.values.index(value)
        others = [other for other in range(len(self.values)) if other != place]
        best = max(others, key=lambda other: abs(self.change[place, other]), default=None)
        return None if best is None else (self.values[best], float(self.change[place, best]))


def leakage(
    loaded: LoadedModel,
    bank: VectorBank,
    prompts: Sequence[Prompt],
    *,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Leakage:
    """Steer toward every value of the bank in turn, and read the probes of all.

    Probes are read at the prompts' last token after the last steered block, and what they say is
    averaged over prompts. All values and prompts are rows of batches.

    Args:
        loaded: the model.
        bank: of V values, with an entry `probe`.
        prompts: as the model continues them.
        recipe: how to steer; the bank's by default.
        progress: told of progress.

    Raises:
        InputError: no prompt, or no probe in the bank.
    """
    from scipy.special import expit

    recipe, values = recipe or bank.recipe, bank.info.values
    rows = [Row(prompt) for prompt in prompts]
    rows += [Row(prompt, (Steer(value),)) for value in values for prompt in prompts]

    block = last_steered_block(bank, rows, recipe)

    def done(count: int) -> None:
        if progress is not None:
            progress("reading leakage", count, len(rows))

    logits = probe_logits(TransformersEngine(loaded, bank, recipe), rows, block, done).reshape(
        1 + len(values), len(prompts), len(values)
    )
    probability, logit = expit(logits).mean(1), logits.mean(1)
    accuracy = bank.entry(PROBE).directions.quality[:, block].double().numpy()
    return Leakage(block, values, accuracy, probability[0], probability[1:] - probability[0], logit[1:] - logit[0])
