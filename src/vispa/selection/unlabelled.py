"""Values without labelled situations: read by what parts them from the built-in ones, and by what these say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vispa.models.encoder import FloatArray
from vispa.selection.head import Calibration, LinearHead, Unlabelled, fit_calibration

# What counts beside the sentences of a value's pairs: its definition, and what the built-in values' scores say of it.
_DEFINITION, _PROFILE = 0.5, 0.25
# How much of what all values have in common is taken away. All of it would rank values that were left out nearly as
# well, but what is left then holds the manner in which a user's pairs are written, where it is not the package's.
_COMMON = 0.7
# How far the score of each built-in value is taken to tell something that the others' do not, against their
# correlations; ten times or a third of it rank as well within 0.002.
_OWN_SHARE = 1.0
_ARRAYS = ("situations", "definitions", "sentences", "covariance")


@dataclass(frozen=True)
class Tellings:
    """What tells values, as an encoder reads it.

    Attributes:
        definitions: unit vectors of label and definition, [V, D].
        sentences: means of the unit vectors of the sentences of their pairs, [V, D].
    """

    definitions: FloatArray
    sentences: FloatArray

    @classmethod
    def read(cls, vectors: Sequence[FloatArray]) -> Self:
        """Of each value's unit vectors [1 + sentences, D], the definition's first."""
        return cls(np.stack([own[0] for own in vectors]), np.stack([own[1:].mean(0) for own in vectors]))

    def of(self, places: Sequence[int]) -> Tellings:
        """Those of some values."""
        return Tellings(self.definitions[list(places)], self.sentences[list(places)])


@dataclass(frozen=True)
class Moments:
    """Of embeddings of situations of all kinds.

    Attributes:
        mean: [D] float64.
        covariance: [D, D] float64.
    """

    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]

    @classmethod
    def of(cls, situations: FloatArray) -> Self:
        """Of N embeddings [N, D]."""
        wide = situations.astype(np.float64)
        return cls(wide.mean(0), np.cov(wide.T))


def measured(head: LinearHead, situations: Moments, tellings: Tellings) -> Unlabelled:
    """What values without labels are compared with; uncalibrated.

    Args:
        head: of V values with labels.
        situations: of the same encoder.
        tellings: of the same V values.
    """
    covariance = situations.covariance
    unscaled = Unlabelled(
        situations=_single(situations.mean),
        definitions=_single(tellings.definitions.mean(0)),
        sentences=_single(tellings.sentences.mean(0)),
        covariance=_single(head.weight @ covariance @ head.weight.T),
        spread=1.0,
        calibration=Calibration(1.0, 0.0),
    )
    directions = [_direction(unscaled, *one) for one in zip(tellings.definitions, tellings.sentences, strict=True)]
    spreads = [np.sqrt(one @ covariance @ one) for one in directions]
    return replace(unscaled, spread=float(np.mean(spreads)))


def row(
    head: LinearHead, known: Unlabelled, definition: FloatArray, sentences: FloatArray | None = None
) -> tuple[FloatArray, np.float32]:
    """Weight [D] and offset of a value's logit.

    It is the text's part in the direction in which the value's words differ from most of what those of the built-in
    ones are on average, and a quarter as much what the built-in values' scores of those words make likely, each score
    counting for what it tells beyond the others (linear discriminant in the space of the scores).

    Args:
        head: of the V values that `known` was measured with, in their order.
        known: of the same encoder.
        definition: unit vector of label and definition, [D].
        sentences: mean of the unit vectors of the sentences of its pairs, [D]; without them the definition alone
            tells the value.
    """
    covariance, weights = known.covariance.astype(np.float64), head.weight.astype(np.float64)
    deviations = np.sqrt(np.diag(covariance))
    correlations = covariance / np.outer(deviations, deviations)
    told = definition - known.definitions if sentences is None else sentences - known.sentences
    shares = np.linalg.solve(correlations + _OWN_SHARE * np.eye(len(weights)), weights @ told / deviations)
    shares /= max(np.sqrt(shares @ correlations @ shares), np.finfo(np.float32).tiny)
    score = _direction(known, definition, sentences) / known.spread + _PROFILE * (shares / deviations) @ weights
    weight = known.calibration.slope * score
    return _single(weight), np.float32(known.calibration.offset - weight @ known.situations)


def calibrated_apart(
    head: LinearHead, situations: Moments, tellings: Tellings, unseen: FloatArray, labels: FloatArray
) -> Unlabelled:
    """See `measured`; calibrated on each of the V values as if it had no labels, by what the others tell.

    Args:
        head: see `measured`.
        situations: see there.
        tellings: see there.
        unseen: embeddings [M, D] of other situations.
        labels: of these, [M, V].
    """
    places = range(len(head.values))
    scores = [left_out(head, situations, tellings, [place], unseen)[:, 0] for place in places]
    calibration = fit_calibration(np.stack(scores, axis=1), labels)
    return replace(measured(head, situations, tellings), calibration=calibration)


def left_out(
    head: LinearHead,
    situations: Moments,
    tellings: Tellings,
    places: Sequence[int],
    unseen: FloatArray,
    *,
    by_definition: bool = False,
) -> FloatArray:
    """Uncalibrated logits [M, W] of W of the values as if they had no labels.

    Args:
        head: of all V values.
        situations: see `measured`.
        tellings: of all V values.
        places: of the W values.
        unseen: embeddings [M, D] of the texts that are scored.
        by_definition: by their definitions alone.
    """
    others = [place for place in range(len(head.values)) if place not in places]
    rest = head.restricted(tuple(head.values[place] for place in others))
    known = measured(rest, situations, tellings.of(others))
    return logits(rest, known, tellings.of(places), unseen, by_definition=by_definition)


def logits(
    head: LinearHead, known: Unlabelled, tellings: Tellings, texts: FloatArray, *, by_definition: bool = False
) -> FloatArray:
    """Logits [M, W] of W values without labels.

    Args:
        head: see `row`.
        known: see there.
        tellings: of the W values.
        texts: embeddings [M, D].
        by_definition: by their definitions alone.
    """
    rows = [
        row(head, known, definition, None if by_definition else sentences)
        for definition, sentences in zip(tellings.definitions, tellings.sentences, strict=True)
    ]
    return np.stack([texts @ weight + offset for weight, offset in rows], axis=1)


def arrays(known: Unlabelled) -> dict[str, FloatArray]:
    """Its arrays, by the names under which a file has them."""
    return {f"unlabelled.{name}": getattr(known, name) for name in _ARRAYS}


def numbers(known: Unlabelled) -> dict[str, Any]:
    """What else it is made of, as JSON has it."""
    return {"spread": known.spread, "calibration": asdict(known.calibration)}


def stored(arrays: Mapping[str, FloatArray], numbers: Mapping[str, Any]) -> Unlabelled:
    """What `arrays` and `numbers` gave.

    Raises:
        KeyError, TypeError: something is missing.
    """
    found = {name: arrays[f"unlabelled.{name}"] for name in _ARRAYS}
    return Unlabelled(**found, spread=numbers["spread"], calibration=Calibration(**numbers["calibration"]))


def _direction(known: Unlabelled, definition: FloatArray, sentences: FloatArray | None) -> npt.NDArray[np.float64]:
    told = _unit(definition - _COMMON * known.definitions)
    return told if sentences is None else _unit(_DEFINITION * told + _unit(sentences - _COMMON * known.sentences))


def _unit(vector: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """A vector of length 1; of nothing, nothing."""
    wide = vector.astype(np.float64)
    return wide / max(np.linalg.norm(wide), np.finfo(np.float32).tiny)


def _single(values: npt.NDArray[np.floating]) -> FloatArray:
    return values.astype(np.float32)
