"""Train a bank's vectors for comments that are rewarded: expressive, on the situation, fluent and distinct.

    python -m training.rewarded_vectors BANK OUTPUT [--blocks 12-18] [--start 0.85] [--steps 30] [--seed 1]

In each step the model comments on some situations for every value, several times; the better of the comments for the
same value on the same situation become likelier, the worse ones less likely: a policy gradient with the mean of the
group as its baseline, as in group-relative policy optimisation (arXiv 2402.03300, section 4). Other than there,
advantages are divided by the spread of the whole step, tokens of all comments weigh the same, and there is neither
clipping nor a penalty: each comment is used once, and rewards hold the text near the unsteered model's. Only vectors
are trained: one a value and block, and one that all values share. BANK is a file with a tuned recipe of fixed amounts.
A step of eight situations is 1,984 comments: seconds on a GPU, twenty minutes on two cores. What ships for
SmolLM2 was trained so in bfloat16, from what `training.common_shift` gave; other hardware draws other comments, and
gives other vectors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from training.comment_rewards import Commented, CommentRewards, FloatRow
from training.sources import SITUATIONS
from training.tuned_by_hand import fixed_recipe, record_with
from vispa.errors import NumericalError
from vispa.files.tables import read_table
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import Budget, token_batches
from vispa.models.encoder import load_encoder
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import REFINED
from vispa.steering.recipe import Recipe, Steer
from vispa.study.expression import Situation, asked_situations, surprise
from vispa.taxonomy import Taxonomy
from vispa.tuning.refining import fixed_vectors, with_refined
from vispa.tuning.search import describe
from vispa.tuning.steered_likelihood import EncodedComment, comment_logits, frozen

#: Situations of a step, comments for each value on each of them, and of the plain model, which is the yardstick.
SITUATIONS_EACH, SAMPLES, PLAIN_SAMPLES = 8, 8, 4
#: How comments are drawn.
DRAWN = Sampling(max_new_tokens=44, temperature=0.8)
#: Step of Adam, as a share of a coordinate of typical length; what all values share moves more slowly.
RATE, SHARED_RATE = 0.06, 0.018
_BETAS = (0.9, 0.98)
_BATCH = Budget(tokens=16384, rows=128)
# Situations of so many words.
_WORDS = range(5, 41)
# Where a bank has no vector, one of half of its usual length is of typical length.
_ELSEWHERE = 0.5


@dataclass(frozen=True)
class Drawn:
    """A comment of a step.

    Attributes:
        situation: what it is on.
        value: place of its value.
        generated: the comment.
    """

    situation: Situation
    value: int
    generated: Generated


class TrainedVectors:
    """Vectors of V values, and the vector that they share, with their optimiser.

    Args:
        start: [V, L, H] as they begin.
        typical: [V, L, H] whose lengths steps are shares of.
        blocks: where they may be; elsewhere they stay zero.
        device: that they lie on.
    """

    def __init__(self, start: torch.Tensor, typical: torch.Tensor, blocks: Sequence[int], device: torch.device) -> None:
        self.blocks, self._shape = tuple(blocks), start.shape
        length = typical.norm(dim=-1)
        usual = (length.sum(1) / (length > 0).sum(1).clamp_min(1))[:, None]
        own = length[:, list(blocks)]
        self._scale = (torch.where(own > 0, own, _ELSEWHERE * usual) / start.shape[-1] ** 0.5)[..., None].to(device)
        self._base = start[:, list(blocks)].to(device)
        self._own = torch.zeros_like(self._base, requires_grad=True)
        self._shared = torch.zeros_like(self._base[:1], requires_grad=True)
        groups = [{"params": [self._own], "lr": RATE}, {"params": [self._shared], "lr": SHARED_RATE}]
        self._optimizer = torch.optim.Adam(groups, betas=_BETAS)

    @property
    def at_blocks(self) -> torch.Tensor:
        """[V, blocks, H]; gradients reach what is trained."""
        vectors: torch.Tensor = self._base + self._scale * (self._own + self._shared)
        return vectors

    @property
    def everywhere(self) -> torch.Tensor:
        """[V, L, H] on the CPU."""
        out = torch.zeros(self._shape)
        out[:, list(self.blocks)] = self.at_blocks.detach().cpu()
        return out

    def step(self, losses: Sequence[Callable[[], torch.Tensor]]) -> None:
        """Go down the sum of some losses, each of which is computed, and forgotten, by itself."""
        trained = (self._own, self._shared)
        sums = [torch.zeros_like(one) for one in trained]
        for loss in losses:
            with torch.enable_grad():
                gradients = torch.autograd.grad(loss(), trained)
            for total, gradient in zip(sums, gradients, strict=True):
                total += gradient
        for one, total in zip(trained, sums, strict=True):
            one.grad = total
        self._optimizer.step()


@dataclass
class RewardTraining:
    """Training of the vectors of a bank.

    Attributes:
        loaded: the model.
        bank: of V values; its own vectors are not used.
        recipe: of which the shares and the fading hold.
        vectors: that are trained.
        reward: of N comments, [N].
        topics: of N situations and texts, the cosine of each two, [N].
        seed: of what is drawn.
    """

    loaded: LoadedModel
    bank: VectorBank
    recipe: Recipe
    vectors: TrainedVectors
    reward: Callable[[Commented], FloatRow]
    topics: Callable[[Sequence[str], Sequence[str]], FloatRow]
    seed: int = 0

    @cached_property
    def whole(self) -> Recipe:
        """The recipe that adds the vectors as they are, at every token."""
        return Recipe(
            REFINED,
            blocks=self.vectors.blocks,
            magnitude="coefficient",
            amount=1.0,
            subject_share=self.recipe.subject_share,
            half_life=self.recipe.half_life,
            minimal_quality=0.0,
        )

    def step(self, number: int, situations: Sequence[Situation]) -> float:
        """One step on some situations.

        Returns:
            The mean reward of its comments.

        Raises:
            NumericalError: a reward is not finite.
        """
        drawn = self._draw(number, situations)
        rewards = self._rewarded(number, situations, drawn)
        if not np.isfinite(rewards).all():
            raise NumericalError("A comment's reward is not finite: nothing is learnt from this step.")
        groups = rewards.reshape(-1, SAMPLES)
        advantages = (groups - groups.mean(1, keepdims=True)).reshape(-1)
        self._learn(drawn, advantages / (advantages.std() + 1e-6))
        return float(rewards.mean())

    def _draw(self, number: int, situations: Sequence[Situation]) -> list[Drawn]:
        """`SAMPLES` comments for every value on every situation, side by side."""
        bank = with_refined(self.bank, self.vectors.everywhere, self.recipe)
        engine, values = TransformersEngine(self.loaded, bank, self.whole), bank.info.values
        asked = [(one, value) for one in situations for value in range(len(values)) for _ in range(SAMPLES)]
        rows = [
            Row(one.plain, (Steer(values[value]),), seed=place % SAMPLES) for place, (one, value) in enumerate(asked)
        ]
        generated = engine.generate(rows, replace(DRAWN, seed=self.seed + number))
        return [Drawn(one, value, made) for (one, value), made in zip(asked, generated, strict=True)]

    def _rewarded(self, number: int, situations: Sequence[Situation], drawn: Sequence[Drawn]) -> FloatRow:
        rows = [Row(one.plain, seed=sample) for one in situations for sample in range(PLAIN_SAMPLES)]
        plain = TransformersEngine(self.loaded).generate(rows, replace(DRAWN, seed=self.seed + number))
        said = [one.text for one in plain]
        of_plain = _by_situation(surprise(self.loaded, situations, said))
        about = _by_situation(self.topics([one.text for one in situations for _ in range(PLAIN_SAMPLES)], said))
        each = len(drawn) // len(situations)
        texts = [one.generated.text for one in drawn]
        nll = surprise(self.loaded, situations, texts)
        return self.reward(
            Commented(
                [one.situation.text for one in drawn],
                np.array([one.value for one in drawn]),
                texts,
                # A comment without tokens is as bad as can be.
                np.nan_to_num(nll, nan=np.inf),
                np.repeat(of_plain, each),
                np.repeat(about, each),
            )
        )

    def _learn(self, drawn: Sequence[Drawn], advantages: FloatRow) -> None:
        """Make comments likelier by as much as they are better than others, [N]."""
        said = [place for place, one in enumerate(drawn) if one.generated.ids]
        encoded = {place: _encoded(drawn[place]) for place in said}
        total = sum(one.count for one in encoded.values())
        batches = token_batches([len(encoded[place].ids) for place in said], _BATCH)

        def loss(places: Sequence[int]) -> torch.Tensor:
            logits, targets, own = comment_logits(
                self.loaded, self.vectors.at_blocks, self.vectors.blocks, [encoded[place] for place in places],
                subject_share=self.recipe.subject_share, remains=self.recipe.remains,
            )  # fmt: skip
            # The distribution that the comments were drawn from.
            scaled = (logits.float() / DRAWN.temperature).transpose(1, 2)
            nll = torch.nn.functional.cross_entropy(scaled, targets, reduction="none")
            nll = torch.where(own, nll, 0.0)
            weights = torch.tensor(advantages[list(places)], dtype=nll.dtype, device=nll.device)
            return (nll.sum(1) * weights).sum() / total

        with frozen(self.loaded), self.loaded.turns:
            self.vectors.step([lambda one=batch: loss([said[place] for place in one]) for batch in batches])  # type: ignore[misc]


def _encoded(one: Drawn) -> EncodedComment:
    prompt, ids = one.situation.plain, one.generated.ids
    return EncodedComment(one.value, (*prompt.ids, *ids), len(ids), prompt.subject)


def _by_situation(measured: FloatRow) -> FloatRow:
    """Means over the comments of each situation; where none has a token, that of all."""
    groups = measured.reshape(-1, PLAIN_SAMPLES)
    known = ~np.isnan(groups)
    whole = groups[known].mean() if known.any() else 0.0
    sums = np.where(known, groups, 0.0).sum(1)
    return np.where(known.any(1), sums / np.maximum(1, known.sum(1)), whole)


def training_situations(seed: int = 0) -> list[str]:
    """The situations of `training/situations`, of a sentence or two, in a random order."""
    texts = dict.fromkeys(
        row.fields["situation"].strip()
        for path in sorted(SITUATIONS.glob("*.csv"))
        for row in read_table(path, ("situation",)).rows
    )
    known = [text for text in texts if len(text.split()) in _WORDS]
    return [known[place] for place in np.random.default_rng(seed).permutation(len(known))]


def main() -> None:
    """Write the bank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", type=Path, help="file with a tuned recipe of fixed amounts")
    parser.add_argument("output", type=Path, help="file to write, after every step")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--blocks", default="12-18", help="where vectors may be")
    parser.add_argument("--start", type=float, default=0.85, help="share of the vectors as they were")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    loaded, taxonomy = load_model(given.model), Taxonomy.built_in()
    bank = VectorBank.load(given.bank)
    bank.require(model_fingerprint=loaded.fingerprint, taxonomy_fingerprint=taxonomy.fingerprint)
    recipe = fixed_recipe(bank, parser)
    first, last = (int(part) for part in given.blocks.split("-"))
    whole = fixed_vectors(bank, recipe)
    vectors = TrainedVectors(given.start * whole, whole, range(first, last + 1), loaded.device)
    rewards = CommentRewards(load_encoder(), taxonomy)
    training = RewardTraining(loaded, bank, recipe, vectors, rewards, rewards.topics, given.seed)
    texts = training_situations(given.seed)
    for number in range(given.steps):
        chosen = [texts[(number * SITUATIONS_EACH + place) % len(texts)] for place in range(SITUATIONS_EACH)]
        reward = training.step(number, asked_situations(loaded, chosen))
        print(f"step {number + 1}: mean reward {reward:.3f}", file=sys.stderr, flush=True)
        words = f"Vectors were trained for rewarded comments, {number + 1} steps (training/rewarded_vectors.py)."
        record = {**record_with(bank, words), "chosen": {"recipe": describe(training.whole)}}
        with_refined(bank, vectors.everywhere, recipe).with_tuned(training.whole, record).save(given.output)


if __name__ == "__main__":
    main()
