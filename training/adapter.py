"""Train an encoder to read values: `python -m training.adapter [--encoder mpnet]`.

Low-rank changes of the encoder's upper layers, learned from the labelled situations of the training split
together with three heads: relevance and stance of the built-in values, and the cosine between a text and what tells a
value (its definition, or a sentence of its pairs), which serves values that have no labels. Probabilities are
calibrated on the development split; those of values without labels on values that were left out of the training.
The same seed gives the same file on the same machine with one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from training.low_rank import Tower, batches
from training.readings import learnt_from
from training.told_values import built_in_names, told_values, without_names
from vispa.models.encoder import BUNDLED, MPNET, BundledEncoder, FloatArray
from vispa.models.named_encoder import mpnet_encoder
from vispa.selection.adapted import ADAPTER_FILES, SUFFIX, save_adapted
from vispa.selection.head import Calibration, LinearHead, fit_calibration, fit_head
from vispa.selection.labelled import (
    DEVELOPMENT,
    Labelled,
    label_matrix,
    load_situations,
    scale_matrix,
    side_matrix,
    target_matrix,
)
from vispa.selection.unlabelled import Moments, Tellings, logits, measured
from vispa.taxonomy import Taxonomy

# Weights of heads are a tenth of what they mean: unit vectors have small coordinates.
_UNIT = 10.0


@dataclass(frozen=True)
class Plan:
    """How an encoder is trained; first choices, which no search over the development split has improved yet.

    Attributes:
        encoder: which one: the bundled one, or a named one.
        first: lowest layer that is trained.
        rank: of the changes.
        scale: of the changes.
        epochs: passes over the situations.
        folds_epochs: the same where values are left out.
        tellings: values a step whose cosines are trained.
        batch: situations a step.
        rate: learning rate of the changes at its height.
        head_rate: learning rate of the heads' weights.
        offset_rate: learning rate of the heads' offsets and of the cosines' slope.
        told: weight of the loss of cosines to definitions.
        free: weight of the loss of cosines to values in free words.
        stance: weight of the loss of stances.
        sentences: how often a value is told by a sentence of its pairs rather than by its definition.
        dropout: of the trained layers.
        folds: into how many parts the values are dealt to be left out.
        half: multiply in bfloat16.
        penalty: C of the logistic regressions of relevance that are fitted once the encoder stands still, see
            `fitted_last`; None keeps the heads that were trained with it.
        threads: of the processor.
        device: where it is trained, as in torch.
        seed: of everything.
    """

    encoder: str = BUNDLED
    first: int = 2
    rank: int = 48
    scale: float = 0.5
    epochs: float = 5
    folds_epochs: float = 1
    tellings: int = 12
    batch: int = 64
    rate: float = 1e-3
    head_rate: float = 1e-3
    offset_rate: float = 1e-2
    told: float = 0.5
    free: float = 0.3
    stance: float = 0.3
    sentences: float = 0.5
    dropout: float = 0.1
    folds: int = 4
    half: bool = False
    penalty: float | None = None
    threads: int = 1
    device: str = "cpu"
    seed: int = 0


# The penalty is one of five that were tried on the development split; heads of the bundled encoder gain nothing there.
#: By what `--encoder` names. On one core the bundled one takes about 40 minutes, the larger one 45 where the processor
#: is good at bfloat16.
PLANS = {BUNDLED: Plan(), MPNET: Plan(MPNET, first=6, rank=32, epochs=3, folds_epochs=0.7, half=True, penalty=3.0)}


@dataclass(frozen=True)
class Material:
    """Situations and what tells the values, after the frozen layers.

    Attributes:
        labelled: N situations.
        states: of each situation.
        targets: relevance, [N, V] in [0, 1].
        sides: 1 promotes, 0 violates, between for both, not a number where the value is not at stake; [N, V].
        tellings: of each value, its definition first, then the sentences of its pairs.
        free: of each situation, values in free words; see `training.told_values`.
    """

    labelled: Labelled
    states: list[Tensor]
    targets: Tensor
    sides: Tensor
    tellings: list[list[Tensor]]
    free: list[tuple[str, ...]]


class Heads(nn.Module):
    """What reads the vectors of texts: relevance and stance of V values, and cosines."""

    def __init__(self, relevance: LinearHead, stance: LinearHead) -> None:
        """Start from heads that were fitted on the encoder before its training."""
        super().__init__()
        self.weight, self.bias = _parameter(relevance.weight / _UNIT), _parameter(relevance.bias)
        self.side_weight, self.side_bias = _parameter(stance.weight / _UNIT), _parameter(stance.bias)
        self.slope, self.offset = _parameter(np.float32(8)), _parameter(relevance.bias - 1)
        self.sharpness = _parameter(np.float32(20))

    def groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Weights, then offsets and the slope."""
        return [self.weight, self.side_weight], [self.bias, self.side_bias, self.slope, self.offset, self.sharpness]

    def losses(
        self, vectors: Tensor, told: Tensor, some: np.ndarray, targets: Tensor, sides: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropies of relevance by heads, of relevance by cosines to what tells some values, and of stance.

        Args:
            vectors: of N texts, [N, D].
            told: of what tells W values, [W, D].
            some: which values these are.
            targets: relevance, [N, V].
            sides: stances, [N, V].
        """
        entropy = nn.functional.binary_cross_entropy_with_logits
        known = ~sides.isnan()
        by_heads = _UNIT * vectors @ self.weight.T + self.bias
        by_cosine = self.slope * vectors @ told.T + self.offset[some]
        stance = _UNIT * vectors @ self.side_weight.T + self.side_bias
        return entropy(by_heads, targets), entropy(by_cosine, targets[:, some]), entropy(stance[known], sides[known])

    def free_loss(self, vectors: Tensor, free: Tensor) -> Tensor:
        """Cross-entropy of which of N free values belongs to which of N texts, both ways (InfoNCE), [N, D] each."""
        logits, own = self.sharpness * vectors @ free.T, torch.arange(len(vectors), device=vectors.device)
        entropy = nn.functional.cross_entropy
        return (entropy(logits, own) + entropy(logits.T, own)) / 2


def untrained_heads(tower: Tower, material: Material, values: tuple[str, ...]) -> tuple[LinearHead, LinearHead]:
    """Heads of relevance and stance on the encoder as it is before the training."""
    vectors = tower.embeddings(material.states).numpy()
    targets = (material.targets.numpy(), material.sides.numpy())
    relevance, stance = (fit_head(vectors, target, values) for target in targets)
    return relevance, stance


def trained(tower: Tower, material: Material, start: tuple[LinearHead, LinearHead], plan: Plan) -> Heads:
    """Train a tower, in place, with heads of its own.

    Args:
        tower: untrained.
        material: of all built-in values.
        start: heads of relevance and stance to begin with, of the values that are trained on.
        plan: how.
    """
    torch.manual_seed(plan.seed)
    random = np.random.default_rng(plan.seed)
    columns = [list(Taxonomy.built_in()).index(slug) for slug in start[0].values]
    targets, sides = (labels[:, columns].to(tower.device) for labels in (material.targets, material.sides))
    heads = Heads(*start).to(tower.device)
    optimizer = torch.optim.AdamW([{"params": group} for group in (tower.parameters, *heads.groups())])
    rates = (plan.rate, plan.head_rate, plan.offset_rate)
    epochs = plan.epochs if len(columns) == len(material.tellings) else plan.folds_epochs
    order = [batch for _ in range(ceil(epochs)) for batch in _shuffled(material.states, plan.batch, random)]
    order = order[: round(len(order) * epochs / ceil(epochs))]
    left_out = set(Taxonomy.built_in()) - set(start[0].values)
    free = without_names(material.free, built_in_names(left_out))
    for step, batch in enumerate(order):
        height = min(1.0, (step + 1) / 20) * 0.5 * (1 + np.cos(np.pi * step / len(order)))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * height
        tower.train(True)
        found = tower.upper([material.states[i] for i in batch])
        some = random.permutation(len(columns))[: plan.tellings]
        told = tower.upper([_telling(material.tellings[columns[i]], plan.sentences, random) for i in some])
        relevance, cosine, stance = heads.losses(found, told, some, targets[batch], sides[batch])
        loss = relevance + plan.told * cosine + plan.stance * stance
        having = [row for row, place in enumerate(batch) if free[place]]
        if having:
            texts = [str(random.choice(free[batch[row]])) for row in having]
            loss = loss + plan.free * heads.free_loss(found[having], tower.upper(tower.lower(texts, on=True)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters, 1.0)
        optimizer.step()
        if step % 20 == 0 or step + 1 == len(order):
            print(f"step {step + 1}/{len(order)}: {loss:.4f} {relevance:.4f} {cosine:.4f} {stance:.4f}", flush=True)
    return heads


def read(tower: Tower, labelled: Labelled, taxonomy: Taxonomy, sentences: bool = True) -> Material:
    """Situations and values after the frozen layers.

    Args:
        tower: untrained, or not: its frozen layers are the same.
        labelled: the situations.
        taxonomy: the values.
        sentences: also read the sentences of the values' pairs.
    """
    tellings = []
    for value in taxonomy.values:
        pairs = [text for side in taxonomy.sentences(value.slug) for text in side] if sentences else []
        tellings.append(tower.lower([f"{value.label}: {value.definition}", *pairs]))
    slugs = tuple(taxonomy)
    return Material(
        labelled,
        tower.lower(labelled.texts),
        torch.from_numpy(target_matrix(labelled, slugs)),
        torch.from_numpy((side_matrix(labelled, slugs) + 1) / 2),
        tellings,
        told_values(labelled.texts),
    )


@dataclass(frozen=True)
class Unseen:
    """Logits of values that took no part in the training.

    Attributes:
        values: places of the values.
        by_definition: told by their definitions alone, [N, W].
        by_pairs: by their definitions and the sentences of their pairs, [N, W].
    """

    values: list[int]
    by_definition: FloatArray
    by_pairs: FloatArray


def unseen(material: Material, others: Material, start: tuple[LinearHead, LinearHead], plan: Plan, fold: int) -> Unseen:
    """Leave the values of a fold out, all together, which is harder than one at a time; train on the rest."""
    values = list(Taxonomy.built_in())
    left = list(range(fold, len(values), plan.folds))
    seen = [place for place in range(len(values)) if place not in left]
    known = tuple(values[place] for place in seen)
    tower = new_tower(plan)
    trained(tower, material, (start[0].restricted(known), start[1].restricted(known)), plan)
    situations, vectors = (tower.embeddings(one.states).numpy() for one in (material, others))
    # The heads of the others are fitted once the encoder stands still.
    head = fit_head(situations, material.targets[:, seen].numpy(), known, plan.penalty or 1.0)
    told = read_tellings(tower, material)
    compared = measured(head, Moments.of(situations), told.of(seen))
    by_definition, by_pairs = (
        logits(head, compared, told.of(left), vectors, by_definition=alone) for alone in (True, False)
    )
    return Unseen(left, by_definition, by_pairs)


def read_tellings(tower: Tower, material: Material) -> Tellings:
    """What tells all built-in values, by a tower as it is."""
    return Tellings.read([tower.embeddings(own).numpy() for own in material.tellings])


def new_tower(plan: Plan) -> Tower:
    """The plan's encoder, ready to be trained."""
    torch.manual_seed(plan.seed)
    encoder = BundledEncoder() if plan.encoder == BUNDLED else mpnet_encoder(torch.device("cpu"), torch.float32)
    return Tower(encoder, plan.first, plan.rank, plan.scale, plan.dropout, half=plan.half, device=plan.device)


def mean_auc(scores: FloatArray, labels: FloatArray) -> float:
    """Mean over the values of the area under the curve of each, [N, V]."""
    return float(np.mean([roc_auc_score(labels[:, v], scores[:, v]) for v in range(labels.shape[1])]))


def main() -> None:
    """Train, calibrate, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", choices=PLANS, default=BUNDLED)
    parser.add_argument("--device", default="cpu", help="where to train, as in torch, such as cuda")
    parser.add_argument("--output", type=Path, help="by default where the package has it")
    parser.add_argument("--all-folds", action="store_true", help="leave every value out once, not a quarter of them")
    arguments = parser.parse_args()
    plan, taxonomy = PLANS[arguments.encoder], Taxonomy.built_in()
    plan = replace(plan, device=arguments.device)
    torch.set_num_threads(plan.threads)
    values, tower = tuple(taxonomy), new_tower(plan)
    material = read(tower, learnt_from(), taxonomy)
    others = read(tower, load_situations(DEVELOPMENT), taxonomy, sentences=False)
    labels = label_matrix(others.labelled, values)
    start = untrained_heads(tower, material, values)
    heads = trained(tower, material, start, plan)
    vectors = tower.embeddings(others.states).numpy()
    relevance, stance = heads_of(heads, values)
    if plan.penalty is not None:
        own = tower.embeddings(material.states).numpy()
        relevance, stance = fitted_last(own, material.targets.numpy(), material.sides.numpy(), plan.penalty)
    relevance = relevance.calibrated(vectors, labels)
    found, clear = relevance.probabilities(vectors), scale_matrix(others.labelled, values) == 2
    print(f"development: AUC a value {mean_auc(found, labels):.4f}, clearly {mean_auc(found, clear):.4f}")
    folds = [unseen(material, others, start, plan, fold) for fold in range(plan.folds if arguments.all_folds else 1)]
    tell(folds, labels)
    situations = Moments.of(tower.embeddings(material.states).numpy())
    known = measured(relevance, situations, read_tellings(tower, material))
    calibration = calibration_of(folds, labels)
    output = arguments.output or ADAPTER_FILES[tower.name + SUFFIX]
    save_adapted(
        output,
        tower.factors(),
        replace(relevance, unlabelled=replace(known, calibration=calibration)),
        stance,
        {"plan": str(plan)},
        tower.sha256,
    )
    print(f"wrote {output}")


def calibration_of(folds: Sequence[Unseen], labels: FloatArray) -> Calibration:
    """Slope and offset of values that were left out, [N, V] labels of all."""
    left = [place for fold in folds for place in fold.values]
    return fit_calibration(np.hstack([fold.by_pairs for fold in folds]), labels[:, left])


def tell(folds: Sequence[Unseen], labels: FloatArray) -> None:
    """Print how well values are ranked that were left out."""
    left = [place for fold in folds for place in fold.values]
    for name, found in (
        ("by definition", np.hstack([fold.by_definition for fold in folds])),
        ("by definition and pairs", np.hstack([fold.by_pairs for fold in folds])),
    ):
        print(f"{name}, {len(left)} values left out: AUC a value {mean_auc(found, labels[:, left]):.4f}")


def fitted_last(
    vectors: FloatArray, targets: FloatArray, sides: FloatArray, penalty: float
) -> tuple[LinearHead, LinearHead]:
    """Heads of relevance and stance on an encoder that stands still.

    Trained together with it they lag behind: they move slowly, so that it learns rather than they.

    Args:
        vectors: [N, D] of the situations that the encoder was trained on.
        targets: [N, V] relevance in [0, 1].
        sides: [N, V] as in `Material`.
        penalty: C of the regressions of relevance; stances, of which fewer are known, have the usual one.
    """
    values = tuple(Taxonomy.built_in())
    return fit_head(vectors, targets, values, penalty), fit_head(vectors, sides, values)


def heads_of(heads: Heads, values: tuple[str, ...]) -> tuple[LinearHead, LinearHead]:
    """Relevance and stance as the package reads them."""
    return (
        LinearHead(values, _UNIT * _array(heads.weight), _array(heads.bias)),
        LinearHead(values, _UNIT * _array(heads.side_weight), _array(heads.side_bias)),
    )


def _shuffled(states: Sequence[Tensor], size: int, random: np.random.Generator) -> list[np.ndarray]:
    """Places of all texts in batches of about like length, in random order."""
    lengths = np.array([len(row) for row in states])
    found = list(batches(lengths + random.uniform(0, 6, len(lengths)), size))
    return [found[i] for i in random.permutation(len(found))]


def _telling(tellings: list[Tensor], sentences: float, random: np.random.Generator) -> Tensor:
    if random.random() >= sentences:
        return tellings[0]
    return tellings[int(random.integers(1, len(tellings)))]


def _parameter(values: FloatArray | np.float32) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values))


def _array(parameter: nn.Parameter) -> FloatArray:
    return parameter.detach().cpu().numpy().astype(np.float32)


if __name__ == "__main__":
    main()
