"""Do steered comments express their value? On situations whose words the training corpus does not hold.

    python -m benchmarks.expression

Each situation is commented on for each of the 31 values. A strict judge parses the comments with
the corpus grammar (`training/judge.py`): a comment *hits* if every sentence of it is one that the
grammar says for the intended value alone, and is *broken* if any sentence is outside the grammar
(ungrammatical or off topic), repeated, or missing. Intervals are 95 % bootstrap intervals over
situations. Recipes were chosen by `training/choose_recipe.py` on other situations.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.unseen import unseen_situations
from training.corpus import Grammar
from training.judge import Judge, Verdict
from training.sources import Sources, load_sources
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import chat_prompt
from vispa.models.loading import LoadedModel, load_model
from vispa.modes.prompts import built_in_prompts
from vispa.request import EMBEDDED
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import cached_bank
from vispa.steering.recipe import Recipe, Steer
from vispa.taxonomy import Taxonomy

_SAMPLING = Sampling(64)

#: The published main method, and the same with the target confidence that did best on the development situations.
PUBLISHED = Recipe("probe")


def comments(
    loaded: LoadedModel,
    bank: VectorBank,
    situations: Sequence[str],
    recipe: Recipe | None,
    personas: Sequence[str] | None = None,
) -> list[list[str]]:
    """Comments [situations][values], steered by `recipe` or not at all.

    Args:
        loaded: the model.
        bank: its bank.
        situations: what to comment on.
        recipe: None for the plain model.
        personas: for each value a sentence to put before the prompt.
    """
    values = bank.info.values
    template = built_in_prompts(loaded.name).comment
    rows = []
    for situation in situations:
        message = template.format(text=situation)
        for number, value in enumerate(values):
            steers = (Steer(value),) if recipe is not None else ()
            asked = message if personas is None else f"{personas[number]}\n{message}"
            rows.append(Row(chat_prompt(loaded, asked), steers))
    texts = [generated.text for generated in TransformersEngine(loaded, bank, recipe).generate(rows, _SAMPLING)]
    return [texts[start : start + len(values)] for start in range(0, len(texts), len(values))]


def with_random_vectors(bank: VectorBank, recipe: Recipe, seed: int = 0) -> VectorBank:
    """The bank with the recipe's vectors replaced by random ones of the same lengths."""
    entry = bank.entry(recipe.estimator)
    vectors = entry.directions.vectors
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
    noise = noise / noise.norm(dim=-1, keepdim=True) * vectors.norm(dim=-1, keepdim=True)
    directions = replace(entry.directions, vectors=noise)
    return replace(bank, entries={**bank.entries, recipe.estimator: replace(entry, directions=directions)})


def rates(verdicts: Sequence[Sequence[Verdict]], values: Sequence[str]) -> dict[str, list[float]]:
    """Shares of hits and of broken comments: estimate, lower and upper end of the interval."""
    hits = np.array([[v.hits(value) for v, value in zip(row, values, strict=True)] for row in verdicts], dtype=float)
    broken = np.array([[v.broken for v in row] for row in verdicts], dtype=float)
    return {"hits": _interval(hits.mean(1)), "broken": _interval(broken.mean(1))}


def _interval(by_situation: npt.NDArray[np.float64]) -> list[float]:
    draws = np.random.default_rng(0).integers(0, len(by_situation), (2000, len(by_situation)))
    low, high = np.percentile(by_situation[draws].mean(1), [2.5, 97.5])
    return [float(by_situation.mean()), float(low), float(high)]


def check_judge(sources: Sources, judge: Judge) -> float:
    """Share of the grammar's own comments, written without any model, that the judge gives their value."""
    rng, grammar = random.Random(0), Grammar(sources, 0)
    texts = [(value, grammar.comment(rng, value, grammar.scene(rng))) for value in sources.values for _ in range(50)]
    return sum(judge.judge(text).hits(value) for value, text in texts) / len(texts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="use the first N situations only")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    sources = load_sources()
    judge, situations = Judge(sources), unseen_situations(sources)[: arguments.limit]
    loaded, taxonomy = load_model(EMBEDDED), Taxonomy.built_in()
    bank = cached_bank(loaded, taxonomy)
    rng = random.Random(0)
    personas = [rng.choice(sources.voices[value].personas) for value in bank.info.values]
    tuned = tuned_published(bank)
    rows: dict[str, tuple[VectorBank, Recipe | None, list[str] | None]] = {
        "not steered": (bank, None, None),
        "random vector of the same length": (with_random_vectors(bank, bank.recipe), bank.recipe, None),
        f"best: {describe(bank.recipe)}": (bank, bank.recipe, None),
        f"published: {describe(PUBLISHED)}": (bank, PUBLISHED, None),
        f"published, tuned: {describe(tuned)}": (bank, tuned, None),
        "persona sentence in the prompt, not steered": (bank, None, personas),
    }
    size = f"{len(situations)} situations × {len(bank.info.values)} values"
    print(f"{size}, greedy, {_SAMPLING.max_new_tokens} tokens at most")
    print(f"the judge on the grammar's own comments: {check_judge(sources, judge):.1%} given their value")
    figures = {}
    for name, (used, recipe, sentences) in rows.items():
        started = time.perf_counter()
        found = comments(loaded, used, situations, recipe, sentences)
        figures[name] = rates([[judge.judge(text) for text in row] for row in found], bank.info.values)
        hits, broken = ("{:6.1%} [{:.1%}, {:.1%}]".format(*figures[name][key]) for key in ("hits", "broken"))
        print(f"{name:<74} hits {hits}  broken {broken}  {time.perf_counter() - started:.0f} s", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def tuned_published(bank: VectorBank) -> Recipe:
    """The published recipe with the target confidence of `data/published_tuned.toml`."""
    import tomllib

    path = Path(__file__).parent / "data" / "published_tuned.toml"
    return Recipe.from_mapping(tomllib.loads(path.read_text(encoding="utf-8")), path.name)


def describe(recipe: Recipe) -> str:
    """A recipe in a few words."""
    where = "published depth" if recipe.blocks is None else f"blocks {','.join(map(str, recipe.blocks))}"
    return f"{recipe.estimator}, {where}, {recipe.magnitude} {recipe.amount:.12g}, {recipe.scope}"


if __name__ == "__main__":
    main()
