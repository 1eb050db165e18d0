"""`vispa inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import cell, names_argument, print_drawn, print_json, print_line, progress_bars
from vispa.cli.grouping import grouped, only, without
from vispa.cli.judging import check_judged
from vispa.cli.options import AsJson, Loading, ModelArgument, Selecting, Steering
from vispa.errors import check_choice
from vispa.files.writing import check_writable
from vispa.items.reading import check_item_text, read_items
from vispa.request import DEFAULT_MODEL, check_max_new_tokens

if TYPE_CHECKING:
    from vispa.models.loading import LoadedModel
    from vispa.study.inspection import Inspection
    from vispa.taxonomy import Taxonomy

# As in vispa.study, which is too heavy to import for `--help`.
_DEFAULT_PARTS = ("quality", "similarity", "dose", "leakage")
_PARTS = (*_DEFAULT_PARTS, "expression")
# Development situations that are commented on.
_SITUATIONS = 8
_FIGURES = ("png", "svg", "none")

Rows = list[dict[str, Any]]


@grouped
def inspect(
    model: ModelArgument = DEFAULT_MODEL,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables and figures.")],
    estimator: Annotated[str | None, typer.Option(help="Entry of the bank; the recipe's by default.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts to steer, one a line (JSON, JSON Lines, CSV too); else built-in ones.")
    ] = None,
    values: Annotated[
        str | None, typer.Option(help="Values of the dose-response, comma-separated; else one of each family.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help=f"Parts, comma-separated: {', '.join(_PARTS)} (takes minutes); else all but the last."),
    ] = None,
    figures: Annotated[str, typer.Option(help="png, svg or none.")] = "png",
    max_new_tokens: Annotated[int, typer.Option(help="Longest text of the dose-response, in tokens.")] = 60,
    selecting: Annotated[Selecting, only("taxonomy")],
    loading: Annotated[Loading, without("model")],
    steering: Annotated[Steering, only("polarity")],
    as_json: AsJson = False,
) -> None:
    """Study a model's bank: which directions separate, which are alike, what steering gives, costs and leaks.

    Writes a CSV file and a figure for each part and all numbers to inspection.json. The part `expression` lets a judge
    say which values comments express, on situations that recipes are chosen on.
    Example: `vispa inspect -o study --only quality,similarity`
    """
    parts = _parts(only)
    check_choice("--figures", figures, _FIGURES)
    check_max_new_tokens(max_new_tokens)
    check_writable(output)
    messages = None if prompts is None else _messages(prompts)
    known = steering.pointing(selecting.loaded_taxonomy())
    if "expression" in parts:
        check_judged(known)
    from vispa.study.tables import check_folder, write_tables

    check_folder(output)
    named = tuple(dict.fromkeys(known[name].slug for name in names_argument(values)))
    from vispa.files.drawing import require_matplotlib
    from vispa.generation.rows import Sampling
    from vispa.models.loading import load_model
    from vispa.study.figures import write_figures

    if figures != "none":
        require_matplotlib()
    with progress_bars() as progress:
        loaded = load_model(model, **loading.placement, progress=progress)
    sampling = Sampling(max_new_tokens)
    found = _study(loaded, known, messages, named, estimator=estimator, parts=parts, sampling=sampling)
    written = write_tables(found, output)
    if figures != "none":
        written += write_figures(found, output, figures, {value.slug: value.label for value in known.values})
    _report(found, written, as_json)


def _report(found: Inspection, written: list[Path], as_json: bool) -> None:
    if as_json:
        from vispa.study.tables import as_json_types

        print_json(as_json_types(_summary(found)) | {"files": [str(path) for path in written]})
        return
    _print_summary(found)
    for path in written:
        print_line(str(path))


def _study(
    loaded: LoadedModel, taxonomy: Taxonomy, messages: list[str] | None, values: tuple[str, ...], **how: Any
) -> Inspection:
    """The study of a model's bank, on prompts and values of the user's or the built-in ones."""
    from vispa.generation.prompts import everyday_prompts
    from vispa.generation.strengths import measured_bank
    from vispa.models.encoding import chat_prompt
    from vispa.steering.bank_cache import cached_bank
    from vispa.study.dose import one_per_family
    from vispa.study.inspection import inspect_bank
    from vispa.study.probing import PROBE

    commenting = _commenting(loaded, taxonomy) if "expression" in how["parts"] else {}
    needed = {PROBE, how["estimator"]} - {None}
    with progress_bars() as progress:
        bank = cached_bank(loaded, taxonomy, estimators=needed, progress=progress)
        return inspect_bank(
            loaded,
            measured_bank(loaded, bank, progress=progress),
            [chat_prompt(loaded, message) for message in messages or everyday_prompts()],
            values or one_per_family(taxonomy),
            progress=progress,
            **commenting,
            **how,
        )


def _commenting(loaded: LoadedModel, taxonomy: Taxonomy) -> dict[str, Any]:
    """Situations for comments, and who judges them."""
    from vispa.models.encoder import load_encoder
    from vispa.study.expression import asked_situations
    from vispa.study.taxonomy_judge import taxonomy_judge
    from vispa.tuning.situations import development_situations

    situations = asked_situations(loaded, development_situations()[:_SITUATIONS])
    return {"situations": situations, "judge": taxonomy_judge(taxonomy, load_encoder())}


def _parts(only: str | None) -> tuple[str, ...]:
    if only is None:
        return _DEFAULT_PARTS
    given = [name.strip() for name in only.split(",") if name.strip()]
    for name in given or [""]:
        check_choice("--only", name, _PARTS)
    return tuple(part for part in _PARTS if part in given)


def _messages(path: Path) -> list[str]:
    items = read_items(path)
    for item in items:
        check_item_text(item)
    return [item.prompt for item in items]


def _summary(found: Inspection) -> dict[str, Any]:
    """What the printed tables say, and what it holds for."""
    return {
        "model": found.info.model,
        "model_fingerprint": found.info.model_fingerprint,
        "taxonomy_fingerprint": found.info.taxonomy_fingerprint,
        "recipe": vars(found.recipe),
        "prompts": len(found.prompts),
        **{part: rows for part, rows in _tables(found).items() if rows},
        **_expression_summary(found),
    }


def _expression_summary(found: Inspection) -> dict[str, Any]:
    from vispa.study.tables import expression_summary

    return {} if found.expression is None else {"expression": expression_summary(found.expression)}


def _tables(found: Inspection) -> dict[str, Rows]:
    """The most telling numbers, a row for each value or magnitude."""
    return {"directions": _direction_rows(found), "leakage": _leakage_rows(found), "dose": _dose_rows(found)}


def _direction_rows(found: Inspection) -> Rows:
    rows: Rows = []
    if found.quality is None and found.similarity is None:
        return rows
    for place, value in enumerate(found.info.values):
        row: dict[str, Any] = {"value": value}
        if found.quality is not None:
            accuracy = found.quality.accuracy[place]
            steered = list(found.recipe.chosen_blocks(len(accuracy)))
            best = int(accuracy.argmax())
            row |= {"accuracy": float(accuracy[steered].mean()), "best": float(accuracy[best]), "block": best}
        if found.similarity is not None:
            row["nearest"], row["cosine"] = found.similarity.nearest(value) or (None, None)
        rows.append(row)
    return rows


def _leakage_rows(found: Inspection) -> Rows:
    if found.leakage is None:
        return []
    rows = []
    for place, value in enumerate(found.info.values):
        own, logit = (float(part[place, place]) for part in (found.leakage.change, found.leakage.logit_change))
        other, change = found.leakage.strongest(value) or (None, None)
        rows.append({"value": value, "own_change": own, "own_logit_change": logit, "leaks_to": other, "change": change})
    return rows


def _dose_rows(found: Inspection) -> Rows:
    if found.dose is None:
        return []
    from vispa.study.dose import MEASURES

    means = {measure: found.dose.overall(measure).tolist() for measure in MEASURES}
    return [
        {"magnitude": magnitude} | {measure: mean[place] for measure, mean in means.items()}
        for place, magnitude in enumerate(("unsteered", *found.dose.magnitudes))
    ]


def _print_summary(found: Inspection) -> None:
    recipe = found.recipe
    print_line(f"{found.info.model}: {recipe.estimator}, {recipe.magnitude} {recipe.amount:g}")
    for title, rows in _tables(found).items():
        if rows:
            of = f" ({', '.join(found.dose.values)})" if found.dose is not None and title == "dose" else ""
            _print_table(title.capitalize() + of, rows)
    if found.expression is not None:
        from vispa.study.expressed import FIGURES

        print_line(found.expression.judge.words)
        shown = ("value", "hit", "rank", "promotes", "topic", "leaks_to")
        _print_table("Expression", [{name: row[name] for name in shown} for row in found.expression.by_value()])
        sides = found.expression.overall()
        rows = [
            {"figure": name.replace("_", " "), **{side: means[name] for side, means in sides.items()}}
            for name in FIGURES
        ]
        _print_table("Comments on the whole", rows)


def _print_table(title: str, rows: Rows) -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        title=cell(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in rows[0]:
        is_text = name in ("figure", "value", "nearest", "leaks_to", "magnitude")
        table.add_column(name.replace("_", " "), justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*(cell(_shown(name, entry)) for name, entry in row.items()))
    print_drawn(table)
    print_line()


def _shown(name: str, entry: Any) -> str:
    if entry is None:
        return ""
    if name == "magnitude" or not isinstance(entry, float):
        return str(entry)
    return "" if entry != entry else f"{entry:.2f}"
