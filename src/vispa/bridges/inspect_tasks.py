"""The published tasks and VISPA for Inspect (PyPI `inspect-ai`): any Inspect model on the same items.

    inspect eval vispa/vital_overton -T data=DIR --model openai/gpt-4o
    inspect eval vispa/vital_moralchoice -T data=DIR --model none --solver vispa/vispa_solver -S model=embedded

Every task of `vispa.evaluation.tasks` has its name with `_` for `/` and `-`. Distributions over
options are read from log probabilities (`--logprobs --top-logprobs 20`); without them an answer
puts everything on the option that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import inspect_ai
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, ModelOutput
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver

from vispa.bridges import inspect_scorers as scorers
from vispa.bridges.together import Together
from vispa.errors import InputError, VispaError, check_choice
from vispa.evaluation.tasks import Task, built_in_tasks, load_task
from vispa.items.item import Item
from vispa.modes.templates import filled
from vispa.request import DEFAULT_MODEL, LETTERS, Sampling
from vispa.selection import SELECTORS
from vispa.selection.settings import SelectorSettings

if TYPE_CHECKING:
    from vispa.evaluation.runs.folder import MethodAnswer
    from vispa.pipeline import Vispa

#: Longest Overton response (paper: 300 tokens), so that length favours no model.
_RESPONSE_TOKENS = 300


def _registered(task: Task) -> Callable[..., inspect_ai.Task]:
    """The Inspect task of a built-in one, known to Inspect by its name."""

    @inspect_ai.task(name=task.name.replace("/", "_").replace("-", "_"))
    def make(
        data: str | None = None, group: str | None = None, limit: int | None = None, judge: str = "embedding"
    ) -> inspect_ai.Task:
        """Reads the items.

        Args:
            data: folder of the data sets; a task whose items ship with the package needs none.
            group: take the items of this attribute group only, such as POLPARTY or a country.
            limit: take the first so many items only.
            judge: of Overton coverage: embedding, nli or nli:MODEL.

        Raises:
            InputError: unusable data, an unknown group or judge, or a limit below 1.
        """
        if limit is not None and limit < 1:
            raise InputError("limit", f"is {limit}.", "Give a number of items from 1.")
        folder = None if data is None else Path(data)
        items = _members(load_task(task.name, folder).items, task, group)[:limit]
        return inspect_ai.Task(
            MemoryDataset([_sample(item) for item in items], name=task.name),
            solver=generate(),
            scorer=scorers.scorer_of(task.metric, judge),
            config=GenerateConfig(temperature=0, max_tokens=_RESPONSE_TOKENS if task.mode == "overton" else None),
            metadata={"source": task.source, "licence": task.licence},
        )

    registered: Callable[..., inspect_ai.Task] = make
    return registered


def _members(items: Sequence[Item], task: Task, group: str | None) -> Sequence[Item]:
    from vispa.evaluation.groups import group_positions

    if group is None:
        return items
    positions = group_positions([item.attribute for item in items], task.groups)
    if group not in positions:
        known = ", ".join(positions) or "none"
        raise InputError("group", f"is {group!r}, of which {task.name} has no item.", f"Groups: {known}.")
    return [items[position] for position in positions[group]]


def _sample(item: Item) -> Sample:
    shares = item.gold_distribution or (1.0,)
    label = shares.index(max(shares)) if item.label is None else item.label
    return Sample(
        _question(item),
        choices=list(item.options) or None,
        target=list(item.explanations) or LETTERS[label],
        id=item.id,
        metadata=item.model_dump(mode="json"),
    )


def _question(item: Item) -> str:
    """What the method `vanilla` asks, with the request to write a letter."""
    from vispa.evaluation.methods.prompts import method_prompts
    from vispa.evaluation.methods.vanilla import plain_question
    from vispa.items.asking import comment_request
    from vispa.modes.prompts import built_in_prompts

    prompts = built_in_prompts()
    if item.mode == "overton":
        return comment_request(item, prompts)
    return filled(prompts.written_answer, question=plain_question(item, prompts, method_prompts()))


@solver
def vispa_solver(
    model: str | Vispa = DEFAULT_MODEL,
    selector: str = "embedding",
    aggregator: str = "extractive",
    dtype: str = "auto",
    device: str | None = None,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    **request: Any,
) -> Solver:
    """Answers with VISPA; the model under evaluation is not asked and may be `none`.

    Samples that run at the same time are answered as one batch: `--max-samples 64` makes it large.

    Args:
        model: a named model, `embedded`, a folder or a hub id, loaded when the first sample comes; or a pipeline,
            whose own selector, aggregator, dtype and device then count.
        selector: `embedding`, `mpnet`, `nli` or `nli:MODEL`.
        aggregator: of Overton responses: `extractive`, or `self` for the model's own writing.
        dtype: of the model.
        device: as in torch.
        max_new_tokens: longest comment.
        temperature: of the comments' sampling; 0 is greedy.
        top_p: share of the probability that the tokens sampled from must hold.
        seed: of the sampling.
        **request: fields of `vispa.request.Request` that hold for every sample, such as `k`.

    Raises:
        InputError: an unknown selector or aggregator.
    """
    check_choice("selector", selector.partition(":")[0], tuple(SELECTORS))
    check_choice("aggregator", aggregator, ("extractive", "self"))

    @cache
    def method() -> Any:
        from vispa.evaluation.methods import Bench
        from vispa.evaluation.methods.vispa_method import VispaMethod

        vispa = _load(model, selector, aggregator, dtype, device) if isinstance(model, str) else model
        sampling = Sampling(max_new_tokens, temperature, top_p, seed)
        return VispaMethod(Bench(vispa, request, **asdict(sampling)))

    answers: Together[Item, MethodAnswer] = Together(lambda items: method().answer(items))

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        answer = await answers(scorers.sample_item(state.metadata))
        if answer.error is not None:
            raise VispaError(answer.error)
        state.store.set(scorers.ANSWER, answer.model_dump(mode="json"))
        state.output = ModelOutput.from_content(f"vispa/{method().vispa.model.name}", answer.response or "")
        state.messages.append(state.output.message)
        return state

    return solve


def _load(model: str, selector: str, aggregator: str, dtype: str, device: str | None) -> Vispa:
    from vispa.pipeline import Vispa

    kind, _, named = selector.partition(":")
    if named and "selector_model" in SELECTORS[kind].idle:
        raise InputError("selector", f"is {selector!r}.", f"{kind} takes no other model; write {kind}.")
    settings = SelectorSettings(named or None, device)
    vispa = Vispa.from_pretrained(
        model, dtype=dtype, device=device, selector=lambda taxonomy: SELECTORS[kind].make(taxonomy, settings)
    )
    if aggregator == "self":
        vispa.write_with(vispa.reader)
    return vispa


TASKS = {name: _registered(task) for name, task in built_in_tasks().items()}
