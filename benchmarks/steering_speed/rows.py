"""The rows that the comparisons run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.steering_speed.setting import Setting
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Steer


def rows_for(setting: Setting, values: Sequence[str]) -> list[Row]:
    """One row for every prompt and value."""
    return [Row(prompt, (Steer(value),)) for prompt in setting.prompts(setting.sizes.prompts) for value in values]


def many_rows(setting: Setting, vectors: int) -> list[Row]:
    """The large batch, its rows steered in turn by one of so many synthetic vectors; by none where it is 0.

    No prompt begins like another.
    """
    return [
        Row(prompt, (Steer(f"value{number % vectors}"),) if vectors else ())
        for number, prompt in enumerate(setting.bare_prompts(setting.sizes.rows))
    ]


def run_rows(setting: Setting, bank: VectorBank, rows: Sequence[Row], new_tokens: int) -> list[Generated]:
    """What a caller runs."""
    return TransformersEngine(setting.loaded, bank).generate(rows, Sampling(new_tokens))


def texts_of(generated: Sequence[Generated]) -> list[str]:
    """The texts alone, to be compared."""
    return [text.text for text in generated]


def rows_text(setting: Setting) -> str:
    """How many rows and tokens `rows_for` comes to, for reading."""
    sizes = setting.sizes
    return f"{sizes.values} values × {sizes.prompts} prompts × {sizes.new_tokens} new tokens"
