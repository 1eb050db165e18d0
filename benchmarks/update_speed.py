"""What updating a bank for one changed value costs against a full fit, and whether both give the same bytes.

    python -m benchmarks.update_speed [--model embedded] [--value honor] [--pairs 100] [--rounds 3] [--clock cpu]
                                     [--json FILE]

One of the built-in values gets other sentences. The full fit reads all values; the update (`vispa fit --update`) reads
that one and takes the others from the cache, a folder of this benchmark's own; checking and writing files counts. The
ratio is taken within each round and printed as median (lowest..highest).
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

from benchmarks.measure import Clock, Spread, Timer, machine_facts
from benchmarks.reports import command_line, write_report
from vispa.files.folders import CACHE_VARIABLE
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import cached_bank
from vispa.steering.fitting import fit_bank
from vispa.steering.updating import update_bank
from vispa.steering.value_fits import ValueFits, folder_of
from vispa.taxonomy import Taxonomy
from vispa.taxonomy.taxonomy import BUILT_IN
from vispa.versions import versions


def written(folder: Path, pairs: int, changed: str = "") -> Taxonomy:
    """The built-in values with so many pairs each, the sentences of one of them put otherwise."""
    (folder / "pairs").mkdir(parents=True)
    shutil.copy(BUILT_IN / "values.toml", folder)
    values = Taxonomy.built_in()
    for slug in values:
        with (folder / "pairs" / f"{slug}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("positive", "negative"))
            head = "These days, I would say: " if slug == changed else ""
            rows.writerows((head + pair.positive, head + pair.negative) for pair in values.pairs(slug)[:pairs])
    return Taxonomy.load(folder)


def measured(loaded: LoadedModel, folder: Path, given: argparse.Namespace) -> tuple[Spread, dict[str, Any]]:
    """The ratio of an update's time to that of a full fit, and what a report has of it; prints what was measured."""
    before = written(folder / "before", given.pairs)
    after = written(folder / "after", given.pairs, given.value)
    earlier = cached_bank(loaded, before, force=True)
    changed = ValueFits(loaded).path(after.sentences_fingerprint(given.value))

    def update() -> VectorBank:
        changed.unlink(missing_ok=True)
        found = update_bank(loaded, after)
        assert found.read == (given.value,), found.read
        return found.bank

    timer = Timer(given.rounds, loaded.device, cast(Clock, given.clock))
    times, banks = timer.alternate({"update": update, "full fit": lambda: fit_bank(loaded, after)})
    kept = sum(path.stat().st_size for path in folder_of(loaded.fingerprint).iterdir())
    ratio = times.ratio("update", "full fit")
    print(f"{len(after)} values, {given.pairs} pairs each, {given.clock} clock; {kept / 1e6:.0f} MB are kept of values")
    for side in times.seconds:
        print(f"{side}: {times.of(side)} s")
    print(f"update to full fit: {ratio}")
    same = banks["update"].fingerprint == banks["full fit"].fingerprint
    print(f"the same bytes: {same}")
    others = [row for row, slug in enumerate(after) if slug != given.value]
    own = [
        name
        for name, entry in earlier.entries.items()
        if entry.directions.vectors[others].equal(banks["update"].entries[name].directions.vectors[others])
    ]
    print(f"the other values' vectors keep their bytes in: {', '.join(own)}")
    return ratio, {
        "values": len(after), "pairs": given.pairs, "rounds": given.rounds, "clock": given.clock, "kept_bytes": kept,
        "seconds": {side: asdict(times.of(side)) for side in times.seconds}, "update_to_full_fit": asdict(ratio),
        "same_bytes": same, "others_keep_their_bytes_in": own,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> Spread:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--value", default="honor", help="slug of the value that changes")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=get_args(Clock), default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    words = sys.argv[1:] if arguments is None else list(arguments)
    given = parser.parse_args(words)
    loaded = load_model(given.model)
    machine = machine_facts(loaded.model)
    print(", ".join(f"{name} {fact}" for name, fact in machine.items()))
    report: dict[str, Any] = {
        "model": given.model, "command": command_line("benchmarks.update_speed", words), "versions": versions(),
        "machine": machine,
    }  # fmt: skip
    earlier = os.environ.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = str(Path(folder) / "cache")
        try:
            ratio, found = measured(loaded, Path(folder), given)
        finally:
            os.environ.pop(CACHE_VARIABLE)
            if earlier is not None:
                os.environ[CACHE_VARIABLE] = earlier
    write_report(given.json, {**report, **found})
    return ratio


if __name__ == "__main__":
    main()
