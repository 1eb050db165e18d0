"""Comparisons of steered generation: with the published procedure, with none, and with other libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from benchmarks import published_procedure as published
from benchmarks.measure import Timer
from benchmarks.steering_speed.other_libraries import transformers_batch, usable_libraries
from benchmarks.steering_speed.report import TOLERANCE, Part
from benchmarks.steering_speed.rows import many_rows, rows_for, rows_text, run_rows, texts_of
from benchmarks.steering_speed.setting import Setting
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.steering.bank import VectorBank
from vispa.steering.exchange.fixed import fixed_vectors
from vispa.steering.recipe import Recipe, Steer

# ---------------------------------------------------------------- (a) against the published procedure


def compare_published(setting: Setting, timer: Timer) -> Part:
    """Values × prompts with calibrated probes: one batch against one prompt and block at a time."""
    sizes, bank = setting.sizes, setting.probe_bank()
    rows = rows_for(setting, bank.info.values)
    times, results = timer.alternate(
        {
            "ours": lambda: [(t.text, t.shift) for t in run_rows(setting, bank, rows, sizes.new_tokens)],
            "published": lambda: [_published(setting, bank, row, sizes.new_tokens) for row in rows],
        }
    )
    part = Part([f"{rows_text(setting)}, {len(setting.steered_blocks())} blocks, P0 = {bank.recipe.amount}"])
    part.add_times(times, len(rows) * sizes.new_tokens)
    part.add_ratio(times, "published", "ours")
    ours, theirs = results["ours"], results["published"]
    part.add_same_texts("ours and published", [text for text, _ in ours], [text for text, _ in theirs])
    pairs = [(block, a[block], b[block]) for (_, a), (_, b) in zip(ours, theirs, strict=True) for block in b]
    largest = max(abs(a - b) for _, a, b in pairs)
    norms = bank.residual_norm
    part.lines.append(
        f"largest |Δε|: {largest:.1e} of ε up to {max(b for *_, b in pairs):.3g}, "
        f"in a residual stream of norm {norms[list(setting.steered_blocks())].max():.0f}"
    )
    part.figures["largest epsilon difference"] = largest
    # In a residual stream whose norm is in the hundreds, 1e-4 is below what float32 can tell.
    part.checks["same epsilon"] = all(abs(a - b) <= max(TOLERANCE, 1e-6 * float(norms[block])) for block, a, b in pairs)
    return part


def _published(setting: Setting, bank: VectorBank, row: Row, new_tokens: int) -> tuple[str, dict[int, float]]:
    loaded, directions = setting.loaded, bank.entry("probe").directions
    assert directions.weight_norm is not None
    assert directions.bias is not None
    value = bank.row(row.steers[0].value)
    probes = {
        block: published.BlockProbe(
            directions.vectors[value, block],
            float(directions.weight_norm[value, block]),
            float(directions.bias[value, block]),
        )
        for block in setting.steered_blocks()
    }
    ids = torch.tensor([row.prompt.ids], device=loaded.device)
    epsilons = published.calibrate(loaded, ids, probes, bank.recipe.amount)
    return published.greedy(loaded, ids, published.shifts(probes, epsilons), new_tokens), epsilons


# ---------------------------------------------------------------- (b) against unsteered generation


def compare_unsteered(setting: Setting, timer: Timer) -> Part:
    """The same rows steered and unsteered, in batches of the same size and padding.

    Where amounts are calibrated on the prompts, rows have less in common that is read once.
    """
    loaded, count, bank = setting.loaded, setting.sizes.new_tokens, setting.probe_bank()
    fixed = replace(bank, recipe=replace(bank.recipe, magnitude="residual", amount=0.05))
    rows = rows_for(setting, bank.info.values)
    plain = [replace(row, steers=()) for row in rows]
    prompts = [row.prompt for row in rows]
    times, results = timer.alternate(
        {
            "ours, steered": lambda: texts_of(run_rows(setting, fixed, rows, count)),
            "ours, calibrated": lambda: texts_of(run_rows(setting, bank, rows, count)),
            "ours, unsteered": lambda: texts_of(TransformersEngine(loaded).generate(plain, Sampling(count))),
            "transformers, unsteered": lambda: transformers_batch(loaded, prompts, count),
        }
    )
    part = Part([rows_text(setting)])
    part.add_times(times, len(rows) * count)
    part.add_ratio(times, "transformers, unsteered", "ours, unsteered")
    for side in ("ours, steered", "ours, calibrated"):
        part.add_ratio(times, side, "transformers, unsteered")
        part.add_ratio(times, side, "ours, unsteered")
    part.add_same_texts("unsteered", results["ours, unsteered"], results["transformers, unsteered"])
    return part


# ---------------------------------------------------------------- (e) many vectors


def compare_many_vectors(setting: Setting, timer: Timer) -> Part:
    """A batch whose rows share no vector, 1, 8, … vectors, calibrated at all blocks of the published range."""
    sizes = setting.sizes
    bank = setting.synthetic_bank(max(sizes.vectors))
    sides = {str(count): many_rows(setting, count) for count in sizes.vectors}
    times, _ = timer.alternate({f"{name} vectors": _runner(setting, bank, rows) for name, rows in sides.items()})
    part = Part([f"{sizes.rows} rows × {sizes.rows_new_tokens} new tokens, {len(setting.steered_blocks())} blocks"])
    part.add_times(times, sizes.rows * sizes.rows_new_tokens)
    for count in sizes.vectors:
        if count:
            part.add_ratio(times, f"{count} vectors", "0 vectors")
    return part


def _runner(setting: Setting, bank: VectorBank, rows: Sequence[Row]) -> Callable[[], object]:
    return lambda: run_rows(setting, bank, rows, setting.sizes.rows_new_tokens)


# ---------------------------------------------------------------- (f) other libraries


def compare_libraries(setting: Setting, timer: Timer) -> Part:
    """All rows steered by one fixed vector a block, by this engine and by other libraries."""
    loaded, count, bank = setting.loaded, setting.sizes.new_tokens, setting.probe_bank()
    value = bank.info.values[0]
    recipe = Recipe("probe", magnitude="residual", amount=0.2, minimal_quality=0.0)
    bank = replace(bank, recipe=recipe)
    rows = [replace(row, steers=(Steer(value),)) for row in rows_for(setting, bank.info.values)]
    prompts = [row.prompt for row in rows]
    vectors = fixed_vectors(bank, value)
    libraries, reasons = usable_libraries(loaded, vectors)
    sides: dict[str, Callable[[], list[str]]] = {"ours": lambda: texts_of(run_rows(setting, bank, rows, count))}
    for name, steer in libraries.items():
        sides[name] = lambda steer=steer: steer(loaded, prompts, vectors, count)  # type: ignore[misc]
    times, results = timer.alternate(sides)
    part = Part([f"{len(rows)} rows × {count} new tokens, one vector at each of {len(vectors)} blocks"])
    part.add_times(times, len(rows) * count)
    for name in libraries:
        part.add_ratio(times, name, "ours")
        part.add_same_texts(f"ours and {name}", results["ours"], results[name])
    part.lines += [f"{name}: {reason}" for name, reason in reasons.items()]
    part.figures["not measured"] = reasons
    return part
