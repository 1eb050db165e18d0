"""The memory that steering adds to generation."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measure import Spread, Timer, in_new_process, peak_allocation, peak_resident
from benchmarks.steering_speed.other_libraries import transformers_batch
from benchmarks.steering_speed.report import Part
from benchmarks.steering_speed.rows import many_rows, run_rows
from benchmarks.steering_speed.setting import ModelName, Setting, Sizes


def measure_memory(setting: Setting, timer: Timer, *, resident: bool = True) -> Part:
    """Most memory held at a time, steered and unsteered.

    Args:
        setting: the model.
        timer: its rounds are the processes a side for the resident memory; allocations need one run.
        resident: also measure what the system sees, each time in a process of its own.
    """
    loaded, sizes, blocks = setting.loaded, setting.sizes, len(setting.steered_blocks())
    element = loaded.model.dtype.itemsize
    expected = sizes.rows * blocks * loaded.hidden_size * element * 2
    part = Part(
        [
            f"{sizes.rows} rows × {blocks} steered blocks × {loaded.hidden_size} × {element} bytes × 2 "
            f"(what the prompt and what later tokens get): {expected:,} bytes"
        ]
    )
    # The first run leaves behind what libraries keep for good.
    _memory_work(setting, "steered")()
    peaks = {side: peak_allocation(_memory_work(setting, side), loaded.device) for side in MEMORY_SIDES}
    added = peaks["steered"] - peaks["unsteered"]
    part.lines += [f"most tensors held, {side}: {peak:,} bytes" for side, peak in peaks.items()]
    part.lines.append(
        f"tensors that steering adds to the peak: {added:,} bytes, {added / expected:.2f} of the above, "
        f"{added / peaks['unsteered']:.2%} of unsteered generation"
    )
    part.figures |= {"expected bytes": expected, "peak tensor bytes": peaks, "added tensor bytes": added}
    if resident and loaded.device.type == "cpu" and peak_resident():
        seen: dict[str, list[int]] = {side: [] for side in MEMORY_SIDES}
        for _ in range(timer.rounds):
            for side in MEMORY_SIDES:
                seen[side].append(in_new_process(_resident_of, setting.kind, str(loaded.model.dtype), sizes, side))
        for side, numbers in seen.items():
            spread = Spread.of([number / 2**20 for number in numbers])
            part.lines.append(
                f"most resident memory of a process, {side}: {spread.median:.1f} MiB "
                f"({spread.lowest:.1f}..{spread.highest:.1f})"
            )
        part.figures["peak resident bytes"] = seen
    return part


MEMORY_SIDES = ("transformers", "unsteered", "steered")


def _memory_work(setting: Setting, side: str) -> Callable[[], object]:
    """One batch of all rows: by transformers, by the engine, or by the engine with a vector for each of 31 values."""
    sizes, bank = setting.sizes, setting.synthetic_bank(min(31, setting.sizes.rows))
    rows = many_rows(setting, 0 if side != "steered" else len(bank.info.values))
    if side == "transformers":
        return lambda: transformers_batch(setting.loaded, [row.prompt for row in rows], sizes.rows_new_tokens)
    return lambda: run_rows(setting, bank, rows, sizes.rows_new_tokens)


def _resident_of(kind: ModelName, dtype: str, sizes: Sizes, side: str) -> int:
    """Most memory that this process has held when one batch is done."""
    _memory_work(Setting.load(kind, sizes, "cpu", dtype.removeprefix("torch.")), side)()
    return peak_resident()
