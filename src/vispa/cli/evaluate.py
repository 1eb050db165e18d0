"""`vispa eval`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import cell, print_drawn, print_json, print_line, resumable_bars
from vispa.cli.grouping import grouped, without
from vispa.cli.options import AsJson, Spreading
from vispa.cli.setup import Setup, refuse_idle
from vispa.errors import InputError, VispaError, check_choice
from vispa.evaluation.method_names import asks_pipeline, check_methods
from vispa.selection import SELECTORS

if TYPE_CHECKING:
    from vispa.evaluation.methods import Bench
    from vispa.evaluation.methods.voice import Community
    from vispa.evaluation.runner import Progress, RunSummary
    from vispa.evaluation.runs.folder import MethodAnswer
    from vispa.evaluation.runs.run import Run
    from vispa.evaluation.scoring import RunScores
    from vispa.evaluation.tasks import LoadedTask, Task
    from vispa.items.workers import Work
    from vispa.models.loading import LoadedModel
    from vispa.request import Mode
    from vispa.selection.selector import Selector
    from vispa.taxonomy import Taxonomy

_JUDGES = ("nli", "embedding", "none")

TaskName = Annotated[str, typer.Option("--task", help="A built-in task (see `vispa data`), or a TOML file.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the data; domains/… need none, your own task's is beside its TOML."),
]
Methods = Annotated[
    str,
    typer.Option(
        help="Comma-separated: vanilla, prompting, personas, moe, modplural, echo, vispa, vispa:ESTIMATOR, vispa+nli."
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The run's folder; continued if it holds a run.")]
CommunityName = Annotated[
    str | None,
    typer.Option(
        "--community", help="For moe and modplural: local models, comma-separated, or a folder of JSON files."
    ),
]
Judge = Annotated[
    str, typer.Option(help="Of Overton coverage: nli (the paper's model), nli:MODEL, embedding, or none.")
]

Shuffles = Annotated[
    int | None,
    typer.Option(
        help="Against how many other situations each Overton answer is scored too, for what chance gives. "
        "By default 10, with an NLI judge 1.",
        min=0,
    ),
]


@grouped
def evaluate(
    context: typer.Context,
    task: TaskName,
    output: Output,
    data_folder: Data = None,
    methods: Methods = "vanilla,prompting,vispa",
    limit: Annotated[int | None, typer.Option(help="Take the first N items only.", min=1)] = None,
    judge: Judge = "embedding",
    shuffles: Shuffles = None,
    score: Annotated[bool, typer.Option(help="Score the run and write its report.")] = True,
    community: CommunityName = None,
    personas: Annotated[int, typer.Option(help="Number of personas of the role agents.")] = 6,
    overwrite: Annotated[bool, typer.Option(help="Begin anew although the folder holds a run.")] = False,
    *,
    spreading: Spreading,
    setup: Annotated[Setup, without("no_passages")],
    as_json: AsJson = False,
) -> None:
    """Compare methods on a task: answers, scores with intervals, a report. A stopped run continues where it was.

    Example: `vispa eval --task vital/overton --data data --methods vanilla,prompting,vispa -o runs/overton`

    Other estimators: `vispa eval --task vital/moralchoice --data data --methods vispa,vispa:probe -o runs/estimators`
    """
    # Bad input is refused before seconds go into loading a model.
    _check_judge(judge)
    from vispa.evaluation.checking import check_items
    from vispa.evaluation.runs.folder import RunFolder
    from vispa.evaluation.tasks import find_task

    names = check_methods([name.strip() for name in methods.split(",") if name.strip()])
    refuse_idle(context, _idle(setup, find_task(task), names, judge if score else None) | spreading.idle())
    known = setup.check(runs_here=spreading.ray is None)
    loaded = _loaded_task(task, data_folder)
    RunFolder(output).check_own()
    items, shared = loaded.items[:limit], setup.request_options(known, loaded.task.mode)
    check_items(items, names, shared, known, setup.mixture.values, own_stances=setup.own_stances)
    from vispa.evaluation.runner import run

    make = partial(_bench, setup, loaded.task.mode, names, community, personas)
    how: dict[str, Any] = {"limit": limit, "overwrite": overwrite, "max_failures": spreading.max_failures}
    total = len(names) * len(items)
    with resumable_bars(names, total, overwrite=overwrite) as progress:
        if spreading.ray is None:
            bench = make(progress)
            model: LoadedModel | None = bench.vispa.model
            summary = run(loaded, names, bench, output, progress=progress, **how)
        else:
            summary = _over_ray(spreading, make, names, loaded, output, {"progress": progress, **how})
            model = setup.loaded_model(progress) if score else None
    scores = _score(summary.run, judge, shuffles, model, known) if score else None
    _print_summary(summary, scores, as_json=as_json)
    _check_complete(summary)


def _bench(
    setup: Setup,
    mode: Mode,
    names: tuple[str, ...],
    community: str | None,
    personas: int,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Bench:
    """What the methods share; with so many threads, where the setup does not say how many."""
    from vispa.evaluation.methods import Bench
    from vispa.evaluation.methods.vispa_method import estimators_of

    own = setup if threads is None else setup.on_threads(threads)
    known = own.check()
    return Bench(
        own.load(known, progress, estimators=estimators_of(names)),
        own.request_options(known, mode),
        personas=personas,
        community=_community(community, own),
        selectors={kind: partial(_selector, own, kind, progress) for kind in SELECTORS},
        **asdict(own.decoding.sampling),
    )


def _over_ray(
    spreading: Spreading,
    make: Callable[..., Bench],
    names: tuple[str, ...],
    task: LoadedTask,
    output: Path,
    how: dict[str, Any],
) -> RunSummary:
    """As `run`, by workers, each of which makes its bench."""
    from vispa.evaluation.runner import answered_run
    from vispa.evaluation.runs.folder import MethodAnswer
    from vispa.items.workers import Workers

    assert spreading.ray is not None
    work = partial(_work, make, names)
    with Workers(work, spreading.ray, spreading.workers, lambda why: MethodAnswer(error=why)) as workers:
        _, about = workers.about()
        return answered_run(task, about, workers.answers, output, **how)


def _work(make: Callable[..., Bench], names: tuple[str, ...], threads: int) -> Work[MethodAnswer]:
    """What a worker makes ready."""
    from vispa.evaluation.methods import make_methods
    from vispa.evaluation.runner import about_run, method_answers
    from vispa.items.workers import Work

    bench = make(threads=threads)
    methods = {method.name: method for method in make_methods(names, bench)}
    about = about_run(list(methods.values()), bench)
    versions = about.environment["versions"]
    return Work(
        (about.settings, about.methods, versions), lambda name, items: method_answers(methods[name], items), about
    )


# ---------------------------------------------------------------- arguments

# Options that only the pipeline's own method heeds.
_OF_VISPA = (
    "k", "threshold", "diversity", "values", "weights", "polarity", "recipe", "selector", "selector_model",
)  # fmt: skip


def _idle(setup: Setup, task: Task, methods: tuple[str, ...], judge: str | None) -> dict[str, str]:
    """See `Setup.idle`; what only some methods or tasks heed is idle without these."""
    from vispa.evaluation.metrics import METRICS
    from vispa.evaluation.tasks import is_shipped

    found = setup.idle(task.mode)
    if is_shipped(task):
        found["data_folder"] = f"on {task.name}, whose items ship with the package"
    if not asks_pipeline(methods):
        found |= dict.fromkeys(_OF_VISPA, "without the method vispa")
    if set(methods) <= {"vanilla", "prompting", "echo"}:
        found |= dict.fromkeys(("aggregator", "max_new_tokens"), "without a method that makes comments")
    if "personas" not in methods:
        found["personas"] = "without the method personas"
    if not {"moe", "modplural"} & set(methods):
        found["community"] = "without the method moe or modplural"
    if judge is None:
        found |= dict.fromkeys(("judge", "shuffles"), "with --no-score")
    elif not METRICS[task.metric].judges:
        found |= dict.fromkeys(("judge", "shuffles"), f"on {task.name}, which is judged by its gold answers")
    elif judge == "none":
        found["shuffles"] = "with --judge none"
    return found


def _loaded_task(name: str, folder: Path | None) -> LoadedTask:
    """The task; see `vispa.evaluation.tasks.load_task`, whose argument has another name here."""
    from vispa.evaluation.tasks import load_task

    try:
        return load_task(name, folder)
    except InputError as error:
        raise InputError("--data", error.problem, error.advice) if error.field == "folder" else error from None


def _check_judge(judge: str) -> None:
    kind, colon, model = judge.partition(":")
    check_choice("--judge", kind, _JUDGES)
    if colon and (kind != "nli" or not model):
        raise InputError("--judge", f"is {judge!r}.", "Write nli:MODEL, nli, embedding or none.")


def _community(text: str | None, setup: Setup) -> Community | None:
    """A folder of comments, or models; a folder with config.json is a model."""
    if text is None:
        return None
    from vispa.evaluation.methods.community_files import FileCommunity
    from vispa.evaluation.methods.community_models import ModelCommunity

    folder = Path(text)
    if folder.is_dir() and not (folder / "config.json").is_file():
        return FileCommunity(folder)
    from vispa.models.loading import load_model

    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    return ModelCommunity({name: partial(load_model, name, **setup.loading.placement) for name in names})


def _selector(setup: Setup, kind: str, progress: Progress | None, taxonomy: Taxonomy) -> Selector:
    """Another selector than the setup's; the model that was named belongs to the setup's own."""
    chosen = setup.selecting
    named = chosen.selector_model if chosen.selector == kind else None
    return replace(setup, selecting=replace(chosen, selector=kind, selector_model=named)).make_selector(
        taxonomy, progress
    )


# ---------------------------------------------------------------- output


def _score(run: Run, judge: str, shuffles: int | None, model: LoadedModel | None, taxonomy: Taxonomy) -> RunScores:
    """Figures, failure signatures, report."""
    from vispa.evaluation.diagnostics import check
    from vispa.evaluation.report import write_report
    from vispa.evaluation.scoring import score
    from vispa.models.encoder import load_encoder
    from vispa.models.nli import PUBLISHED_JUDGE

    scores = score(run, judge=f"nli:{PUBLISHED_JUDGE}" if judge == "nli" else judge, shuffles=shuffles)
    found = check(run, scores, encoder=load_encoder(), loaded=model, taxonomy=taxonomy)
    write_report(run, scores, found)
    return scores


def _print_summary(summary: RunSummary, scores: RunScores | None, *, as_json: bool) -> None:
    output, items = summary.run.folder, len(summary.run.items)
    report = output / "report.html"
    if as_json:
        scored = {} if scores is None else {"scores": _figures(scores), "report": str(report)}
        told = {name: getattr(summary, name) for name in ("answered", "failed", "seconds", "tokens")}
        print_json({"output": str(output), "items": items, **told, **scored})
        return
    for name in summary.failed:
        failed = f"  {summary.failed[name]} failed" if summary.failed[name] else ""
        print_line(f"{name}: {summary.seconds[name]:.1f} s, {summary.tokens[name]:,} tokens{failed}")
    print_line(f"{items} items, {summary.answered} answers now: {output}")
    if scores is not None:
        from vispa.evaluation.clusters import texts_of

        _print_scores(scores, len(set(texts_of(summary.run.items))))
        print_line(f"{report}")


def _figures(scores: RunScores) -> dict[str, dict[str, Any]]:
    """Method → figure → its estimate and interval."""
    return {
        method: {name: figure.model_dump(mode="json") for name, figure in one.figures.items()}
        for method, one in scores.methods.items()
    }


def _print_scores(scores: RunScores, texts: int) -> None:
    """Figures with their intervals, the headline first; a line for each method.

    Args:
        scores: of a run.
        texts: how many texts its items have.
    """
    from rich.table import Table

    from vispa.evaluation.report.words import drawn_together, figure_label, length_control

    names = dict.fromkeys(name for of in scores.methods.values() for name in of.figures)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for is_whole in (True, False, True, True):
        table.add_column(no_wrap=is_whole)
    for name in names:
        for method, of in scores.methods.items():
            if (one := of.figures.get(name)) is not None:
                interval = f"[{one.low:.3f}, {one.high:.3f}]"
                table.add_row(cell(method), cell(figure_label(name)), f"{one.estimate:.3f}", interval)
    if scores.budget is not None:
        print_line(length_control(scores.budget, scores.shuffles))
    every = (one for of in scores.methods.values() for one in of.figures.values())
    # Some figures are of fewer items.
    whole = max(every, key=lambda one: one.n, default=None)
    if whole is not None and (together := drawn_together(whole, texts)):
        print_line(together)
    if table.row_count:
        print_drawn(table)


def _check_complete(summary: RunSummary) -> None:
    """End with exit code 1 where items have no answer.

    Raises:
        VispaError: names the methods.
    """
    from vispa.items.failing import what_to_do

    failed = {name: count for name, count in summary.failed.items() if count}
    if failed:
        named = ", ".join(f"{count:,} of {name}" for name, count in failed.items())
        # Of why a method failed its records have the words, not the kind.
        raise VispaError(
            f"{summary.run.folder}: items have no answer ({named}); their records say why (`error`). "
            f"{what_to_do(sum(failed.values()), None)}"
        )
