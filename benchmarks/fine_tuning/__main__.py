"""Does steering keep up with fine-tuning? One low-rank adapter a value beside vectors, on the same situations.

    python -m benchmarks.fine_tuning [--model embedded|smollm2] [--values N] [--situations S] [--pairs 5,20,50,100]
                                     [--json FILE] [--figure FILE] [--resume FILE]

Adapters (LoRA at every linear layer of the blocks) are trained on the positive sentences of the pairs, put as comments
on nothing in particular, on as many of the model's own best comments, as refined directions are, and on written
comments (`data/written_comments.csv`). Rank and number of steps are those with the highest harmonic mean on six
development situations (within 0.02 the lowest rank and fewest steps); for fewer lessons steps are chosen again.
What is reported is measured on situations of `data/held_out_situations.csv`, greedy, by the judge of
`vispa.study.taxonomy_judge`, with 95 % bootstrap intervals over situations. Seconds are of the processor.

With `--resume` what was found is kept, and a later call goes on after it; `--json` is written anew after every way.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.fine_tuning.report import Reporting
from benchmarks.fine_tuning.section import draw, section
from benchmarks.fine_tuning.serving import measure_serving
from benchmarks.fine_tuning.study import Sizes, Study
from benchmarks.kept import Kept
from benchmarks.real_model import HELD_OUT
from vispa.files.tables import read_table
from vispa.files.writing import replacing
from vispa.models.encoder import load_encoder
from vispa.models.loading import load_model
from vispa.request import EMBEDDED
from vispa.steering.bank_cache import cached_bank
from vispa.steering.recipe import portable_recipe
from vispa.study.taxonomy_judge import taxonomy_judge
from vispa.taxonomy import Taxonomy

_SERVED_RANK, _SERVED_TOKENS = 8, 16


def _numbers(words: str) -> tuple[int, ...]:
    """`5,20` as rising numbers from 1.

    Raises:
        ValueError: another number.
    """
    found = tuple(sorted({int(one) for one in words.split(",")}))
    if found[0] < 1:
        raise ValueError(words)
    return found


def _positive(words: str) -> int:
    (found,) = _numbers(words)
    return found


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = Sizes()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=EMBEDDED, help="name, hub id or folder")
    parser.add_argument(
        "--values", type=_positive, help="so many of the 31 values, evenly over the list; by default all"
    )
    parser.add_argument("--situations", type=_positive, default=20, help="the first so many held-out ones")
    parser.add_argument("--pairs", type=_numbers, default=default.pairs, help="numbers of pairs and lessons a value")
    parser.add_argument("--tokens", type=_positive, default=default.tokens, help="longest comment")
    parser.add_argument("--ranks", type=_numbers, default=default.ranks, help="ranks to choose from")
    parser.add_argument("--steps", type=_numbers, default=default.steps, help="numbers of steps to choose from")
    parser.add_argument("--learnt", type=_positive, default=default.learnt, help="situations of the own comments")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of serving; 0 leaves it out (needs peft)")
    parser.add_argument("--json", type=Path, help="also write all figures and some comments here")
    parser.add_argument(
        "--figure", type=Path, help="also draw expression against fluency and by pairs here (PNG or SVG)"
    )
    parser.add_argument("--resume", type=Path, help="keep what was found here, and go on after what is there")
    return parser.parse_args(arguments)


def _command(asked: argparse.Namespace, values: int, situations: int) -> str:
    """What gives the same report."""
    lists = {name: ",".join(map(str, getattr(asked, name))) for name in ("pairs", "ranks", "steps")}
    given = {"model": asked.model, "values": values, "situations": situations, "tokens": asked.tokens, **lists}
    options = " ".join(f"--{name} {one}" for name, one in {**given, "learnt": asked.learnt}.items())
    return f"python -m benchmarks.fine_tuning {options}"


def main(arguments: Sequence[str] | None = None) -> Mapping[str, Any]:
    """Print the tables; gives the report."""
    asked = _parsed(arguments)
    taxonomy, encoder = Taxonomy.built_in(), load_encoder()
    judge = taxonomy_judge(taxonomy, encoder)
    print(judge.words, flush=True)
    loaded = load_model(asked.model, dtype="float32")
    bank = cached_bank(loaded, taxonomy, estimators={portable_recipe().estimator})
    names = list(taxonomy)
    count = min(asked.values or len(names), len(names))
    values = [names[place * len(names) // count] for place in range(count)]
    texts = [row.fields["situation"] for row in read_table(HELD_OUT, ("situation",)).rows][: asked.situations]
    sizes = replace(
        Sizes(), pairs=asked.pairs, tokens=asked.tokens, ranks=asked.ranks, steps=asked.steps, learnt=asked.learnt
    )
    kept = Kept(asked.resume)
    study = Study(loaded, taxonomy, bank, judge.judge, encoder, values, texts, sizes, kept)
    started = time.perf_counter()

    def finished(report: Mapping[str, Any]) -> None:
        print(f"{len(report['rows'])} ways, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        if asked.json:
            with replacing(asked.json) as temporary:
                temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    reporting = Reporting(study, finished)
    report = reporting.report
    report["command"] = _command(asked, len(values), len(texts))
    report["judge"] = {"words": judge.words, **judge.accuracy}
    reporting.run()
    if asked.rounds:
        size = {"rank": _SERVED_RANK, "tokens": min(_SERVED_TOKENS, asked.tokens), "rounds": asked.rounds}
        # Of all values, however few are measured.
        parts = [loaded.fingerprint, names, size, "serving"]
        served = kept.get(parts, lambda: measure_serving(asked.model, bank, names, texts[0], **size))
        report["serving"] = dict(served)
    finished(report)
    print(section(report))
    if asked.figure:
        draw(report, asked.figure)
    return report


if __name__ == "__main__":
    main()
