"""The bank: everything fitted on one model for one taxonomy, in one safetensors file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from vispa.errors import BankError, InputError
from vispa.files.folders import banks_folder
from vispa.files.names import check_name
from vispa.once import once_property
from vispa.steering.bank_header import BANK_ADVICE, FORMAT, BankHeader, parsed_header
from vispa.steering.bank_parts import BankInfo, Entry, entry_from, needed_tensor, shape_problems
from vispa.steering.plan import SteeringPlan
from vispa.steering.planning import build_plan, check_steers, has_amount, steered_blocks
from vispa.steering.recipe import Recipe, Steer
from vispa.steering.sealing import canonical, digests, read_sealed, write_sealed


def bank_file(model_fingerprint: str, taxonomy_fingerprint: str) -> Path:
    """Where the user's cache keeps the bank of a model and taxonomy."""
    return banks_folder() / f"{model_fingerprint[:20]}-{taxonomy_fingerprint[:20]}.safetensors"


@dataclass(frozen=True)
class VectorBank:
    """Directions of V values at L blocks of width H.

    Attributes:
        info: model, taxonomy and versions.
        entries: by estimator name.
        residual_norm: [L] median length of the residual stream at the sentences' last tokens.
        recipe: how this model is steered by default.
        strengths: of rules that are measured: recipe (as `Recipe.measured_for` has it) → value → fraction of the
            residual norm.
        tuning: how the recipe was found, as JSON can say it; None where it was not tuned on this bank.
    """

    info: BankInfo
    entries: dict[str, Entry]
    residual_norm: torch.Tensor
    recipe: Recipe
    strengths: Mapping[Recipe, Mapping[str, float]] = field(default_factory=dict)
    tuning: Mapping[str, Any] | None = None

    def with_tuned(self, recipe: Recipe, record: Mapping[str, Any]) -> VectorBank:
        """The bank with a recipe that was tuned on it; the cache keeps it instead of the package's advice.

        Args:
            recipe: to be steered by.
            record: how it was found, as JSON can say it, such as what was chosen, why, and what else was tried.

        Raises:
            InputError: an estimator or block that is not in the bank, or a recipe that steers nothing.
        """
        self.check_steers(recipe)
        return replace(self, recipe=recipe, tuning=record)

    def plan(self, steers: Iterable[Steer | str], recipe: Recipe | None = None) -> SteeringPlan:
        """The tables for a batch whose rows are steered by any of `steers`.

        Args:
            steers: of all rows together; a slug stands for `Steer(slug)`.
            recipe: of the steers that name none; the bank's by default.

        Raises:
            InputError: an estimator, block or value that is not in the bank, or a calibrated
                magnitude for an estimator without a probability.
        """
        default = recipe or self.recipe
        keys: dict[tuple[str, Recipe], None] = {}
        for steer in steers:
            slug, own = (steer, None) if isinstance(steer, str) else (steer.value, steer.recipe)
            keys[slug, own or default] = None
        return build_plan(self, tuple(keys), default)

    def check_steers(self, recipe: Recipe) -> None:
        """Refuse a recipe that steers toward no value; see `vispa.steering.planning.check_steers`.

        Raises:
            InputError: names the recipe's field; or an estimator or block that is not in the bank.
        """
        check_steers(self, recipe)

    def steers(self, value: str, recipe: Recipe | None = None) -> bool:
        """Whether a recipe (the bank's by default) steers toward a value at any block, and by more than nothing.

        Raises:
            InputError: an estimator, block or value that is not in the bank.
        """
        recipe = recipe or self.recipe
        return bool(steered_blocks(self, (value, recipe))) and has_amount(value, recipe)

    def amount(self, value: str, recipe: Recipe) -> float:
        """The amount of a recipe for a value; what was measured in its place where the magnitude's rule wants that.

        Raises:
            InputError: it is not measured.
        """
        if not recipe.rule.measured:
            return recipe.amount_for(value)
        found = self._strength(value, recipe)
        if found is None:
            raise InputError(
                "magnitude",
                f"{recipe.magnitude} is not measured on this model for {value} with this recipe.",
                "Give the recipe to `Vispa.from_pretrained` or `--recipe`, or call "
                "`vispa.generation.strengths.measured_bank`.",
            )
        return found

    def unmeasured(self, recipe: Recipe) -> tuple[str, ...]:
        """The values for which a recipe needs what is not measured yet."""
        if not recipe.rule.measured:
            return ()
        return tuple(value for value in self.info.values if self._strength(value, recipe) is None)

    def measured(self) -> list[dict[str, Any]]:
        """The strengths as the header and JSON have them: `recipe` and `fractions`, value → fraction."""
        known = self.strengths.items()
        return [{"recipe": asdict(recipe), "fractions": dict(fractions)} for recipe, fractions in known]

    def _strength(self, value: str, recipe: Recipe) -> float | None:
        return self.strengths.get(recipe.measured_for(value, len(self.residual_norm)), {}).get(value)

    def in_fractions(self, recipe: Recipe) -> Recipe:
        """A recipe whose rule is measured as one of the same shifts whose amounts say how far they go.

        Raises:
            InputError: it is not measured.
        """
        if not recipe.rule.measured:
            return recipe
        amounts = {value: self.amount(value, recipe) for value in self.info.values}
        return replace(recipe, magnitude="residual", amounts=amounts, table=None)

    def without_strengths(self, estimators: Collection[str]) -> VectorBank:
        """The bank without what was measured with the directions of some estimators, which others take the place of."""
        kept = {recipe: found for recipe, found in self.strengths.items() if recipe.estimator not in estimators}
        return replace(self, strengths=kept)

    def with_strengths(self, recipe: Recipe, fractions: Mapping[str, float]) -> VectorBank:
        """The bank with what was measured for a recipe: value → fraction of the residual norm."""
        strengths = {one: dict(known) for one, known in self.strengths.items()}
        for value, fraction in fractions.items():
            strengths.setdefault(recipe.measured_for(value, len(self.residual_norm)), {})[value] = fraction
        return replace(self, strengths=strengths)

    def entry(self, estimator: str) -> Entry:
        """The directions of an estimator.

        Raises:
            InputError: it is not in the bank.
        """
        if estimator not in self.entries:
            known = f"It has {', '.join(self.entries)}; `vispa fit` adds what this package can fit."
            raise InputError("estimator", f"{estimator!r} is not in the bank.", known)
        return self.entries[estimator]

    @property
    def width(self) -> int | None:
        """Width H of the directions; None for a bank without entries."""
        return next((int(entry.directions.vectors.shape[-1]) for entry in self.entries.values()), None)

    def row(self, value: str) -> int:
        """The place of a value in the tensors' first axis.

        Raises:
            InputError: the bank has no such value.
        """
        if value not in self.info.values:
            raise InputError("value", f"{value!r} is not in the bank.", f"It has {', '.join(self.info.values)}.")
        return self.info.values.index(value)

    # ---------------------------------------------------------------- keeping

    @once_property
    def fingerprint(self) -> str:
        """SHA-256 in hex over what the bank is bound to and all its tensors, whatever its recipe and strengths."""
        apart = ("recipe", "strengths", "tuning")
        header = {name: part for name, part in self._header().items() if name not in apart}
        text = canonical({**header, "digests": digests(self._tensors())})
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: Path, *, half: bool = False) -> None:
        """Write the bank to a safetensors file with a checksum, whole or not at all.

        Args:
            path: of the file.
            half: store the vectors in half precision; they are read in single precision again.

        Raises:
            InputError: the folder cannot be written to, or a value or estimator has no proper name.
            OutputError: there is no room.
        """
        for name in (*self.info.values, *self.entries):
            check_name("bank", name)
        tensors = self._tensors()
        if half:
            tensors |= {name: tensor.half() for name, tensor in tensors.items() if name.endswith(".vectors")}
        write_sealed(path, self._header(), tensors)

    @classmethod
    def load(cls, path: Path) -> VectorBank:
        """Read a bank.

        Raises:
            BankError: the file is missing, damaged, or no bank of this format.
        """
        sealed = read_sealed(path)
        header = parsed_header(sealed.header, str(path))
        if header.format != FORMAT:
            raise BankError(str(path), "is of an older release and has no checksum.", BANK_ADVICE)
        if not sealed.whole:
            raise BankError(str(path), "is damaged (the header does not agree with its checksum).", BANK_ADVICE)
        if sealed.broken:
            names = ", ".join(map(repr, sorted(sealed.broken)))
            raise BankError(str(path), f"is damaged ({names}: other numbers than the checksum's).", BANK_ADVICE)
        return cls.from_parts(header, sealed.tensors, str(path))

    @classmethod
    def from_parts(cls, header: BankHeader, tensors: Mapping[str, torch.Tensor], place: str) -> VectorBank:
        """A bank from what its file holds.

        Args:
            header: of the file.
            tensors: by name.
            place: the file, for messages.

        Raises:
            BankError: a tensor is missing or of another shape than the others, or the recipe cannot be used.
        """
        try:
            recipe = Recipe.from_mapping(header.recipe)
            strengths = {Recipe.from_mapping(one.recipe): one.fractions for one in header.strengths}
        except InputError as error:
            raise BankError(place, f"holds a recipe that cannot be used: {error}", BANK_ADVICE) from error
        entries = {name: entry_from(name, about, tensors, place) for name, about in header.entries.items()}
        norms = needed_tensor("residual_norm", tensors, place)
        if wrong := shape_problems(len(header.info.values), norms, entries):
            raise BankError(place, f"has {wrong[0]}.", BANK_ADVICE)
        return cls(BankInfo(**dict(header.info)), entries, norms, recipe, strengths, header.tuning)

    def _header(self) -> dict[str, Any]:
        entries = {
            name: {"reading": entry.reading, "contrast": entry.contrast, "imported": entry.imported}
            for name, entry in self.entries.items()
        }
        tuning = None if self.tuning is None else dict(self.tuning)
        # Left out where it is not known, as banks of older releases have it: their fingerprints stay.
        unknown = ("sentences", "tokenizer")
        info = {name: part for name, part in asdict(self.info).items() if name not in unknown or part}
        return {
            "format": FORMAT,
            "info": info,
            "entries": entries,
            "recipe": asdict(self.recipe),
            "strengths": self.measured(),
            "tuning": tuning,
        }

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {"residual_norm": self.residual_norm}
        for name, entry in self.entries.items():
            parts = vars(entry.directions).items()
            tensors |= {f"{name}.{part}": tensor for part, tensor in parts if tensor is not None}
        return tensors

    def relative_norm(self, estimator: str) -> torch.Tensor:
        """[V, L] length of an estimator's vectors as a fraction of the blocks' typical residual norm."""
        length: torch.Tensor = self.entry(estimator).directions.vectors.norm(dim=-1)
        return length / self.residual_norm.clamp_min(1e-30)

    def require(self, *, model_fingerprint: str, taxonomy_fingerprint: str) -> None:
        """Refuse to serve another model or taxonomy than the bank was fitted for.

        Raises:
            BankError: names what differs.
        """
        for what, here, wanted in (
            ("model", self.info.model_fingerprint, model_fingerprint),
            ("taxonomy", self.info.taxonomy_fingerprint, taxonomy_fingerprint),
        ):
            if here != wanted:
                raise BankError(
                    "bank",
                    f"was fitted for another {what} ({self.info.model}, {here[:12]}; asked for {wanted[:12]}).",
                    "Fit one for this model with `vispa fit`.",
                )
