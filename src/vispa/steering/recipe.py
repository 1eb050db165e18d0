"""Which directions a model is steered with, where, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from vispa.errors import InputError, check_choice
from vispa.files.names import check_name
from vispa.files.reading import read_toml
from vispa.steering.amounts import Amounts
from vispa.steering.magnitudes import MAGNITUDES
from vispa.steering.magnitudes.base import MagnitudeRule

if TYPE_CHECKING:
    from vispa.files.validation import FileModel

#: Which positions are shifted: every one (the paper), the prompt's, those generated, or the last
#: of each forward pass (the prompt's last token, then every generated one).
Scope = Literal["all", "prompt", "generated", "last"]

_EMBEDDED_RECIPE = Path(__file__).parents[1] / "models" / "embedded" / "steering.toml"
_PORTABLE_RECIPE = Path(__file__).with_name("portable.toml")
_PUBLISHED = Path(__file__).parent / "published.toml"

#: Published range of blocks as shares of the depth (10 to 25 of 32 blocks).
DEPTH = (0.31, 0.78)
#: A direction worse than this on held-out sentences does not separate; its block is left out.
MINIMAL_QUALITY = 0.6
#: No model has so many blocks; numbers beyond are mistakes, and lists of them would fill the memory.
MOST_BLOCKS = 10_000


@dataclass(frozen=True)
class Recipe:
    """How a row is steered.

    Attributes:
        estimator: name of the bank's entry that gives the directions.
        blocks: numbers of the blocks to steer after; None for the range `depth`.
        depth: range of blocks as shares of the model's depth, both ends included.
        best: of those blocks, only the so many where the value's held-out accuracy is highest.
        magnitude: how far the amount shifts; see `MAGNITUDES`.
        amount: target confidence, coefficient, fraction, or target divergence, as `magnitude` says.
        amounts: value slug → amount of its own, before the table's; any mapping.
        table: name of a published table that gives each value an amount of its own.
        both_ways: a calibrated shift may also push down to the target, not only up.
        cap: longest shift at a block, as a fraction of the block's typical residual norm.
        scope: which positions are shifted.
        subject_share: factor on the shift at the tokens of what the prompt is about (`Prompt.subject`), from 0 to 1.
            Below 1 the model still reads a situation as it is written, and speaks for the value all the same.
        half_life: after so many generated tokens half of the shift is left, after twice as many a quarter; None for
            one that stays. What begins by speaking for a value goes on so, and long texts keep to their subject.
        minimal_quality: blocks where a value's quality is lower are left out for that value.
        gate: leave a row alone where a probe at the lowest steered block already gives its value
            this probability at the prompt's last token.

    Raises:
        InputError: a field that cannot be; the message names it.
    """

    estimator: str = "probe"
    blocks: tuple[int, ...] | None = None
    depth: tuple[float, float] = DEPTH
    best: int | None = None
    magnitude: str = "calibrated"
    amount: float = 0.9
    amounts: Mapping[str, float] = Amounts()
    table: str | None = None
    both_ways: bool = False
    cap: float | None = None
    scope: Scope = "all"
    subject_share: float = 1.0
    half_life: float | None = None
    minimal_quality: float = MINIMAL_QUALITY
    gate: float | None = None

    def __post_init__(self) -> None:
        check_types(vars(self))
        object.__setattr__(self, "amounts", Amounts(self.amounts))
        check_choice("table", self.table or "", ("", *published_tables()))
        for block in self.blocks or ():
            if not 0 <= block < MOST_BLOCKS:
                raise InputError("blocks", f"{block} is not a block of any model.", "Blocks are counted from 0.")
        if not 0 <= self.depth[0] <= self.depth[1] <= 1:
            raise InputError("depth", f"is {self.depth}.", "Give two shares of the depth in ascending order, 0 to 1.")
        if self.best is not None and self.best < 1:
            raise InputError("best", f"is {self.best}.", "Give a number of blocks from 1.")
        check_choice("magnitude", self.magnitude, tuple(MAGNITUDES))
        self.rule.check(self.amount)
        for value, amount in self.amounts.items():
            check_name("amounts", value)
            try:
                self.rule.check(amount)
            except InputError as error:
                raise InputError(f"amounts.{value}", error.problem, error.advice) from error
        if self.cap is not None and not self.cap > 0:
            raise InputError("cap", f"is {self.cap}.", "Give a fraction of the residual norm above 0.")
        if not 0 <= self.subject_share <= 1:
            raise InputError("subject_share", f"is {self.subject_share}.", "Give a factor, 0 to 1.")
        if self.half_life is not None and not 0 < self.half_life < float("inf"):
            raise InputError("half_life", f"is {self.half_life}.", "Give a number of tokens above 0, or leave it out.")
        if self.minimal_quality < 0:
            raise InputError("minimal_quality", f"is {self.minimal_quality}.", "Give an accuracy, 0 to 1.")
        if self.gate is not None and not 0 < self.gate < 1:
            raise InputError("gate", f"is {self.gate}.", "Give a probability between 0 and 1.")

    @property
    def rule(self) -> MagnitudeRule:
        """Of the magnitude."""
        return MAGNITUDES[self.magnitude]

    @property
    def remains(self) -> float:
        """The share of the shift that a generated token leaves to the next; 1 where it stays."""
        return 1.0 if self.half_life is None else 0.5 ** (1 / self.half_life)

    def check_steers(self) -> None:
        """Refuse a recipe that steers nothing whatever the bank: each value's comment would be the same.

        Raises:
            InputError: no block, no amount, or a quality that no direction has; names the field.
        """
        if self.blocks is not None and not self.blocks:
            raise InputError("blocks", "names no block: nothing would be steered.", "Name blocks, or leave it out.")
        if self.amount == 0 and self.table is None and not any(self.amounts.values()):
            raise InputError("amount", "is 0: nothing would be steered.", "Give another number.")
        if self.minimal_quality > 1:
            problem = f"is {self.minimal_quality}: no direction is so good, and nothing would be steered."
            raise InputError("minimal_quality", problem, "Give an accuracy, 0 to 1.")

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any], place: str = "recipe") -> Recipe:
        """A recipe from TOML or JSON; lists become tuples.

        Args:
            table: field → value.
            place: the file, for messages.

        Raises:
            InputError: an unknown field, one of another type, one that cannot be, or a recipe that steers
                nothing; names file and field.
        """
        from vispa.files.validation import validated

        given = validated(recipe_model(), table, place)
        try:
            recipe = cls(**dict(given))
            recipe.check_steers()
        except InputError as error:
            raise InputError(f"{place} field {error.field}", error.problem, error.advice) from error
        return recipe

    def as_mapping(self) -> dict[str, Any]:
        """The fields that are not as they are by default, as JSON and TOML can say them; `from_mapping` reads them."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: dict(one) if isinstance(one, Mapping) else list(one) if isinstance(one, tuple) else one
            for name, one in given.items()
            if one != getattr(Recipe, name)
        }

    def chosen_blocks(self, count: int) -> tuple[int, ...]:
        """The blocks to steer in a model of `count` blocks.

        Raises:
            InputError: a block that the model does not have.
        """
        if self.blocks is None:
            low, high = (round(share * count) for share in self.depth)
            low = min(low, count - 1)
            return tuple(range(low, max(low, min(high, count - 1)) + 1))
        for block in self.blocks:
            if not 0 <= block < count:
                raise InputError("blocks", f"{block} is not a block of the model.", f"Blocks are 0 to {count - 1}.")
        return tuple(sorted(set(self.blocks)))

    def measured_for(self, value: str, count: int) -> Recipe:
        """What a measured fraction of a value hangs on: this recipe with the value's amount, all else set aside.

        Args:
            value: slug.
            count: blocks of the model.

        Raises:
            InputError: a block that the model does not have.
        """
        return replace(
            self, blocks=self.chosen_blocks(count), depth=DEPTH, amount=self.amount_for(value), amounts={}, table=None,
            both_ways=False,
        )  # fmt: skip

    def amount_for(self, value: str) -> float:
        """The amount for a value: its own, the table's, or the recipe's."""
        table = {"other": self.amount} if self.table is None else published_tables()[self.table]
        return self.amounts.get(value, table.get(value, table["other"]))


#: The largest number of single precision.
MAX_WEIGHT = 3.4028234e38


@dataclass(frozen=True)
class Steer:
    """Toward one value.

    Attributes:
        value: slug.
        weight: factor on the shift; 0 does nothing, a negative one steers away.
        recipe: how; None for the default of the bank.

    Raises:
        InputError: a weight that is not finite in single precision, in which shifts are computed.
    """

    value: str
    weight: float = 1.0
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        if not abs(self.weight) <= MAX_WEIGHT:
            raise InputError("weight", f"is {self.weight}.", "Give a finite number.")


@cache
def recipe_model() -> type[FileModel]:
    """The model of a recipe's file: the fields of `Recipe`, of exactly their types."""
    from pydantic import create_model

    from vispa.files.validation import FileModel

    types = get_type_hints(Recipe)
    of: dict[str, Any] = {field.name: (types[field.name], field.default) for field in fields(Recipe)}
    return create_model("RecipeFile", __base__=FileModel, **of)


def check_types(given: Mapping[str, Any]) -> None:
    """Refuse fields of a recipe that are of another type.

    Raises:
        InputError: names the field.
    """
    from pydantic import ValidationError

    from vispa.files.validation import refusal

    try:
        recipe_model().model_validate(dict(given), strict=True)
    except ValidationError as fault:
        raise refusal(fault, recipe_model(), given, "recipe", error=InputError) from fault


@cache
def published_tables() -> dict[str, dict[str, float]]:
    """Published magnitudes: table name → value slug (or `other`) → amount."""
    return read_toml(_PUBLISHED)


@cache
def embedded_recipe() -> Recipe:
    """The recipe chosen for the model that ships with the package; see its model card."""
    return Recipe.from_mapping(read_toml(_EMBEDDED_RECIPE), _EMBEDDED_RECIPE.name)


@cache
def portable_recipe() -> Recipe:
    """The recipe of models for which none was tuned."""
    return Recipe.from_mapping(read_toml(_PORTABLE_RECIPE), _PORTABLE_RECIPE.name)
