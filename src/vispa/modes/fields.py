"""Keyword arguments of `vispa.Vispa.respond`, by the modes in which they count; what each means stands in `Request`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from vispa.request import Count


class SamplingFields(TypedDict, total=False):
    """The fields of `vispa.request.Sampling`: how comments are decoded."""

    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int


class CommonFields(SamplingFields, total=False):
    """The fields of a request that count in every mode, and how its comments are decoded."""

    k: Count | None
    values: Sequence[str]
    threshold: float
    diversity: float
    prompt: str | None


class OptionFields(CommonFields, total=False):
    """The fields of a request that count where options are answered."""

    question: str | None
    options: Sequence[str]


class DistributionalFields(OptionFields, total=False):
    """The fields of a request that count in distributional mode."""

    country: str | None
    passages: bool
