"""Hostile calls of what is used from Python: what is called, and words of the refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vispa import Vispa
from vispa.modes.mixture import Mixture
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

#: Fields of a request beside its text, and words of the refusal.
REQUESTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"text": 5}, "text: is 5"),
    ({"text": None}, "text: is None"),
    ({"text": "\ud800"}, "text: is"),
    ({"k": True}, "k: is True"),
    ({"k": 2.0}, "k: is 2.0"),
    ({"k": "6"}, "k: is '6'"),
    ({"threshold": float("nan")}, "threshold: is nan"),
    ({"threshold": "0.5"}, "threshold: is '0.5'"),
    ({"diversity": -1}, "diversity: is -1"),
    ({"values": [1]}, "values: is [1]"),
    ({"values": {"karma"}}, "values: is {'karma'}"),
    ({"values": "karma", "k": 2}, "k: has no effect"),
    ({"mode": None}, "mode: is None"),
    ({"mode": "distributional", "options": {"a": 1}}, "options: is {'a': 1}"),
    ({"mode": "distributional", "options": ["a", "A "]}, "options: hold 'A' twice"),
    ({"mode": "distributional", "passages": "no"}, "passages: is 'no'"),
    ({"mode": "distributional", "country": 3}, "country: is 3"),
    ({"mode": "steerable"}, "toward: is missing"),
    ({"mode": "steerable", "toward": ["karma"]}, "toward: is ['karma']"),
    ({"toward": "karma"}, "toward: has no effect"),
    ({"prompt": 3}, "prompt: is 3"),
    ({"prompt": " "}, "prompt: is empty"),
    ({"temperature": "hot"}, "temperature: is 'hot'"),
    ({"temperature": float("inf")}, "temperature: is inf"),
    ({"temperature": 1, "top_p": 0}, "top-p: is 0"),
    ({"seed": -1}, "seed: is -1"),
    ({"seed": 2**63}, "seed: is"),
    ({"max_new_tokens": 0}, "max-new-tokens: is 0"),
    ({"max_new_tokens": 1.5}, "max-new-tokens: is 1.5"),
)

#: Other calls, and words of the refusal.
CALLS: tuple[tuple[Callable[[], object], str], ...] = (
    (lambda: Vispa.from_pretrained(None), "model: is None"),  # type: ignore[arg-type]
    (lambda: Vispa.from_pretrained(Path("/nowhere/m")), "/nowhere/m is not a folder"),
    (lambda: Vispa.from_pretrained("embedded", polarity="papr"), "polarity: is 'papr'"),  # type: ignore[arg-type]
    (lambda: Vispa.from_pretrained("embedded", dtype="int8"), "dtype: is 'int8'"),
    (lambda: Taxonomy.load(Path("/nowhere")), "/nowhere: is not a folder"),
    (lambda: Taxonomy.built_in()["karmaa"], "karma"),
    (lambda: Mixture("given"), "kind given needs shares"),
    (lambda: Mixture("mean", {"karma": 1}), "kind mean has no shares"),
    (lambda: Mixture("given", {"karma": "1"}), "shares.karma: is '1'"),  # type: ignore[dict-item]
    (lambda: Mixture("fitted", {"karma": 1}, temperature=float("inf")), "temperature"),
    (lambda: Mixture.load(Path("/dev/zero")), "no regular file"),
    (lambda: Recipe(blocks=[1, 2]), "blocks"),  # type: ignore[arg-type]
    (lambda: Recipe(blocks=(10**12,)), "blocks"),
    (lambda: Recipe(cap=float("nan")), "cap: is nan"),
    (lambda: Recipe(best=True), "best: is True"),
)
