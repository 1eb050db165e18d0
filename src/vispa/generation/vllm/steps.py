"""What each forward pass of a worker adds: which row of the tables every token gathers, and what is measured in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from vispa.errors import NumericalError
from vispa.generation.vllm.asked import Asked
from vispa.generation.vllm.passes import Steady, Step
from vispa.generation.vllm.readout import Readout
from vispa.generation.vllm.tables import NOTHING, Rows, Tables, remains_of
from vispa.generation.vllm.vocabulary import Vocabulary
from vispa.steering.bank import VectorBank
from vispa.steering.intervention import ActiveSteering, active_steering
from vispa.steering.recipe import Steer

#: What is said where nothing was measured though it should have been.
UNMEASURED = "the shift of its prompt was not measured: a captured graph may have run in place of the model."

# Most reports of requests that nobody fetched.
_MOST_TOLD = 65_536


@dataclass
class Held:
    """A request while it runs.

    Attributes:
        asked: how it is steered.
        rows: its rows of the tables.
        remains: see `remains_of`.
        key: of rows that it shares with others; None where they are its own.
        amounts: block number → length of the shift along its direction; of those that are measured.
        problem: why it could not be steered.
    """

    asked: Asked
    rows: Rows
    remains: float = 1.0
    key: object = None
    amounts: dict[int, float] = field(default_factory=dict)
    problem: str | None = None

    def prompt_of(self, given: int) -> int:
        """How many of the tokens given count as its prompt's; see `Asked.prompt`."""
        return given if self.asked.prompt is None else min(self.asked.prompt, given)


class Steps:
    """What the requests of a worker are steered by, pass after pass.

    Args:
        vocabulary: of the bank, on the model's device.
        tables: that tokens gather from.
        most_tokens: of a pass, padding included.
        device: of the model.
        dtype: of the model.
    """

    def __init__(
        self, vocabulary: Vocabulary, tables: Tables, most_tokens: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._vocabulary, self._tables, self._device, self._dtype = vocabulary, tables, device, dtype
        self._held: dict[str, Held] = {}
        self._index = torch.zeros(most_tokens, dtype=torch.int64, device=device)
        # What fades: which row each token gathers beside, and how much of it is left.
        self._fading = torch.zeros(most_tokens, dtype=torch.int64, device=device)
        self._left = torch.zeros(most_tokens, dtype=torch.float32, device=device)
        self._fades = False
        self._filled = 0
        self._written = self._faded = False  # Whether anything but nothing stands in them.
        self._steady: Steady | None = None
        self._unseen: set[str] = set()  # Requests whose prompts are to be measured or read, and were in no pass yet.
        self._wanted = lru_cache(maxsize=4096)(self._blocks_measured)
        self._active = False  # Whether any token of the pass gathers anything.
        self._measuring: list[tuple[str, Held, int]] = []  # With the place of its prompt's last token in the pass.
        self._measured: ActiveSteering | None = None
        self._last_tokens = self._measured_rows = self._index[:0]  # Of those that are measured: places, rows.
        self.readout = Readout()
        self.told: list[tuple[int, dict[int, float], str | None]] = []  #: Number, amounts, problem; of who asked.
        self._refused: dict[str, str] = {}  # Request → why it is not steered at all; of the pass that comes.
        self.failed: dict[str, str] = {}  #: Request → why it could not be steered in the last pass.
        self.last_places: dict[str, int] = {}  #: Request → the place of its last token in the pass.

    @property
    def bank(self) -> VectorBank:
        """That is steered with."""
        return self._vocabulary.bank

    # ---------------------------------------------------------------- requests

    def begin(self, ended: Collection[str], new: Collection[tuple[str, Asked]]) -> None:
        """Requests have ended, and others begin."""
        if ended or new:
            self._steady = None
        for name in ended:
            self._drop(name)
            self.last_places.pop(name, None)
        fresh: dict[object, tuple[Rows, Asked]] = {}
        for name, asked in new:
            known = self._held.get(name)
            # One that was interrupted comes again; what was measured for it stays.
            if known is None or known.asked != asked:
                self._drop(name)
                self._held[name] = self._taken(asked, fresh)
                if asked.whole:
                    self._unseen.add(name)
        self._tables.clear()
        if fresh:
            self._write_fixed(list(fresh.values()))

    def refuse(self, name: str, problem: str) -> None:
        """A request begins whose steering cannot be read; it fails with the pass that comes."""
        self._refused[name] = problem

    def hold(self, name: str, rows: Rows) -> None:
        """A request with rows that were written for it alone."""
        self._held[name], self._steady = Held(Asked(), rows), None

    def end(self) -> None:
        """The pass is over: what was measured in it is told, and not measured again."""
        self._note_amounts()
        self.told += [(one.asked.number, one.amounts, one.problem) for _, one, _ in self._measuring if one.asked.number]
        del self.told[:-_MOST_TOLD]
        self.failed, self._refused = self._refused, {}
        for name, one, _ in self._measuring:
            if one.problem is not None or one.amounts.keys() != self._wanted(one.asked.steers):
                self.failed[name] = one.problem or UNMEASURED
        self._measuring, self._measured, self._active = [], None, False
        self.readout.end()

    def looks(self, names: Iterable[str]) -> bool:
        """Whether anything is measured or read in a pass with these requests, after `begin`.

        That is done from Python, which captured graphs leave out.
        """
        return not self._unseen.isdisjoint(names)

    def _blocks_measured(self, steers: tuple[Steer, ...]) -> frozenset[int]:
        """The blocks at which something is measured for a request with these steers."""
        return self._vocabulary.plan(steers).steered_blocks(steers)

    def _taken(self, asked: Asked, fresh: dict[object, tuple[Rows, Asked]]) -> Held:
        if not asked.steers:
            return Held(asked, NOTHING)
        default, subject = self._vocabulary.default, asked.subject[0] < asked.subject[1]
        if asked.whole:
            own = self._tables.take(asked.steers, default, subject=subject)
            return Held(asked, own, remains_of(asked.steers, default))
        key = (asked.steers, asked.orthogonal, subject)
        rows = self._tables.known(key)
        if rows is None:
            rows = self._tables.take(asked.steers, default, subject=subject)
            self._tables.keep(key, rows)
            fresh[key] = (rows, asked)
        return Held(asked, rows, remains_of(asked.steers, default), key)

    def _write_fixed(self, fresh: Sequence[tuple[Rows, Asked]]) -> None:
        active = self._active_steering([asked for _, asked in fresh])
        places = self._tables.places([rows for rows, _ in fresh])
        nowhere = torch.zeros(len(fresh), 1, self._tables.width, device=self._device, dtype=self._dtype)
        for block, spec in active.plan.blocks.items():
            self._tables.write(block, places, active.measured(block, spec, nowhere))

    def _active_steering(self, given: Sequence[Asked]) -> ActiveSteering:
        plan = self._vocabulary.plan(steer for asked in given for steer in asked.steers)
        subjects = [(*asked.subject, 0) for asked in given]
        return active_steering(plan, [one.steers for one in given], [one.orthogonal for one in given], subjects)

    def _drop(self, name: str) -> None:
        held = self._held.pop(name, None)
        self._unseen.discard(name)
        if held is None:
            return
        if held.key is None:
            self._tables.give_back(held.rows)
        else:
            self._tables.release(held.key)

    # ---------------------------------------------------------------- passes

    def tokens(self, step: Step) -> None:
        """The tokens of the pass that comes.

        Raises:
            RuntimeError: a prompt that is measured was cut; nothing would be right from then on.
        """
        if self._steady is not None and self._steady.goes_on(step):
            # As most passes are: nothing has moved, and only what fades is another.
            self._active, self._fades = self._steady.active, bool(self._steady.fading.any())
            if self._fades:
                self._left[: len(step.names)] = torch.from_numpy(self._steady.left).to(self._device)
            return
        held = [self._held.get(name) for name in step.names]
        prompts = [
            prompt if one is None else one.prompt_of(prompt) for one, prompt in zip(held, step.prompts, strict=True)
        ]
        total = int(sum(step.scheduled))
        rows = np.zeros(max(total, self._filled), dtype=np.int64)
        fading, left = np.zeros_like(rows), np.zeros(len(rows), dtype=np.float32)
        start = 0
        for name, one, count, first, prompt in zip(
            step.names, held, step.scheduled, step.computed, prompts, strict=True
        ):
            if one is not None:
                if first >= prompt:
                    rows[start : start + count] = one.rows.generated
                else:
                    self._read(name, one, rows[start : start + count], first, prompt, start)
                if one.rows.fading and first + count > prompt:
                    ages = np.arange(max(first, prompt), first + count) - (prompt - 1)
                    told = slice(start + count - len(ages), start + count)
                    fading[told], left[told] = one.rows.fading, one.remains**ages
            start += count
            self.last_places[name] = start - 1
        self._fades = bool(fading.any())
        gathers = bool(rows.any())
        self._active = self._fades or gathers
        # What lies behind the tokens, where graphs pad, gathers nothing; nothing is not written twice.
        if gathers or self._written:
            self._index[: len(rows)] = torch.from_numpy(rows).to(self._device)
        if self._fades or self._faded:
            self._fading[: len(rows)] = torch.from_numpy(fading).to(self._device)
            self._left[: len(rows)] = torch.from_numpy(left).to(self._device)
        self._written, self._faded, self._filled = gathers, self._fades, total
        if self._measuring:
            self._measured = self._active_steering([one.asked for _, one, _ in self._measuring])
            places = [place for _, _, place in self._measuring]
            self._last_tokens = torch.tensor(places, device=self._device)
            self._measured_rows = self._tables.places([one.rows for _, one, _ in self._measuring])
        self._steady = self._steady_after(step, held, prompts, fading[:total])

    def _steady_after(
        self, step: Step, held: Sequence[Held | None], prompts: Sequence[int], fading: np.ndarray
    ) -> Steady | None:
        """The pass, where every request goes on by one generated token from here."""
        if any(count != 1 for count in step.scheduled):
            return None
        computed = np.array(step.computed)
        ages = computed - (np.array(prompts) - 1)
        if (ages < 1).any():
            return None
        remains = np.array([1.0 if one is None else one.remains for one in held])
        return Steady(list(step.names), computed, self._active, fading.copy(), remains, ages)

    def _read(self, name: str, one: Held, rows: np.ndarray, first: int, prompt: int, start: int) -> None:
        """Fill the rows of a request whose prompt is in the pass, or a part of it from token `first` on."""
        count = len(rows)

        def fill(begin: int, end: int, row: int) -> None:
            rows[max(begin - first, 0) : max(end - first, 0)] = row

        fill(first, prompt - 1, one.rows.read)
        fill(*one.asked.subject, one.rows.subject)
        fill(prompt - 1, prompt, one.rows.end)
        fill(prompt, first + count, one.rows.generated)
        if one.asked.whole:
            if first + count < prompt:
                raise RuntimeError(f"the prompt of {name} was cut, on whose last token its steering is measured")
            self._unseen.discard(name)
            if one.asked.steers:
                self._measuring.append((name, one, start + prompt - 1 - first))
            if one.asked.reading and one.asked.number is not None:
                self.readout.expect(one.asked.number, start, count)

    def shifted(self, block: int, hidden: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        """The output [T, H] of a block with what its tokens get; of two that the next norm adds up, the first.

        Args:
            block: its number.
            hidden: [T, H].
            residual: what the residual stream has beside it, or None.
        """
        if self._measured is not None and block in self._measured.plan.blocks:
            self._measure(block, hidden, residual)
        if self.readout.expects:
            self.readout.read(block, hidden if residual is None else hidden + residual)
        table = self._tables.of(block)
        if table is None or not (self._active or self.captured):
            return hidden
        count = len(hidden)
        shifted = hidden + table[self._index[:count]]
        if self._fades or self.captured:
            shifted += table[self._fading[:count]] * self._left[:count, None].to(hidden.dtype)
        return shifted

    #: Whether graphs are captured: what is added then must not hang on what this pass needs.
    captured = False

    def _measure(self, block: int, hidden: torch.Tensor, residual: torch.Tensor | None) -> None:
        active = self._measured
        assert active is not None
        held, places = [one for _, one, _ in self._measuring], self._last_tokens
        last = hidden[places] if residual is None else hidden[places] + residual[places]
        shifts = None
        while shifts is None:
            # Whoever cannot be steered must not hinder those beside it.
            if left_out := [place for place, one in enumerate(held) if one.problem is not None]:
                last[left_out] = 0
            try:
                shifts = active.measured(block, active.plan.blocks[block], last[:, None])
            except NumericalError as error:
                if error.row is None:
                    raise
                held[error.row].problem = str(error)
                active.leave_out(error.row)
        self._tables.write(block, self._measured_rows, shifts)

    def _note_amounts(self) -> None:
        """What was measured in the pass goes to its requests, of all blocks at once: a GPU stops for an answer."""
        if self._measured is None or not self._measured.amounts:
            return
        blocks = tuple(self._measured.amounts)
        amounts = torch.stack(tuple(self._measured.amounts.values()), dim=1).tolist()
        for (_, one, _), own in zip(self._measuring, amounts, strict=True):
            if one.problem is None:
                wanted = self._wanted(one.asked.steers)
                one.amounts |= {block: amount for block, amount in zip(blocks, own, strict=True) if block in wanted}
