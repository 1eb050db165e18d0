"""Which logits of a classifier mean entailment and contradiction: models order and name their labels differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from transformers import PreTrainedConfig

from vispa.errors import ModelError


class NliLabels(NamedTuple):
    """Places of a classifier's logits.

    Attributes:
        contradiction: None where the model has no label for it.
        entailment: always there.
    """

    contradiction: int | None
    entailment: int


def nli_labels(config: PreTrainedConfig, model: str, *, field: str = "model", contrast: bool = True) -> NliLabels:
    """Where the labels of natural language inference stand, by their names.

    Names count that begin with `contra` and `entail`, in any case. In a model of two labels, one
    that begins with `not` and goes on with `entail` is the contradiction.

    Args:
        config: with `label2id` and `id2label`.
        model: its name, for the message.
        field: what the caller named it in, for the message.
        contrast: a contradiction is needed too.

    Raises:
        ModelError: one that is needed is missing, or the two tables of names differ.
    """
    by_name = {str(name): int(place) for name, place in (config.label2id or {}).items()}
    by_place = {str(name): int(place) for place, name in (config.id2label or {}).items()}
    read = (_labels(names) for names in (by_name, by_place))
    found = {labels for labels in read if labels and (labels.contradiction is not None or not contrast)}
    if len(found) == 1:
        return found.pop()
    if found:
        raise ModelError(field, f"{model} has label2id and id2label that differ.", "Correct its config.json.")
    needed = "entailment and contradiction" if contrast else "entailment"
    names = ", ".join(sorted({*by_name, *by_place})) or "none"
    raise ModelError(
        field,
        f"{model} has no labels for {needed} (its labels: {names}).",
        "Name a model trained on natural language inference (NLI), or name the labels in its config.json.",
    )


def _labels(names: Mapping[str, int]) -> NliLabels | None:
    letters = {"".join(filter(str.isalpha, name.lower())): place for name, place in names.items()}

    def beginning(with_: str) -> int | None:
        return next((place for name, place in letters.items() if name.startswith(with_)), None)

    contradiction, entailment = beginning("contra"), beginning("entail")
    if contradiction is None and len(names) == 2:
        contradiction = beginning("notentail")
    return None if entailment is None else NliLabels(contradiction, entailment)
