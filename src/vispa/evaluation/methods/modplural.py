"""All community comments read together.

Modular Pluralism (arXiv 2406.15951) lets small models, each trained on texts of one community,
comment on a situation; a larger one reads the comments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vispa.evaluation.methods.base import Bench
from vispa.evaluation.methods.voices import answer_from_voices, where_spoken
from vispa.evaluation.runs.folder import MethodAnswer
from vispa.items.item import Item


class ModPlural:
    """All community comments, aggregated as VISPA's are: the method of Modular Pluralism.

    Raises:
        InputError: the bench has no community.
    """

    name = "modplural"

    def __init__(self, bench: Bench) -> None:
        self.bench, self.community = bench, bench.needed_community(self.name)
        self.settings: dict[str, Any] = {"community": self.community.settings}

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        spoken = self.community.comments(items, self.bench.wording, self.bench.sampling)
        return where_spoken(items, spoken, lambda present, voices: answer_from_voices(self.bench, present, voices))
