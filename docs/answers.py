"""Write docs/answers.md: answers of the default model and recipe as they came out, with a reader's remarks.

    python docs/answers.py

What is asked stands in docs/answers.toml, beside a remark and the digest of the answer that it was made on. A remark on
an answer that has changed since is left out, and the new digest printed: read the answer, say what is good or bad.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vispa import OvertonResponse, Vispa
from vispa.records import Comment
from vispa.request import Request

HERE = Path(__file__).parent
HEAD = """# Answers

Ten answers as they came out, good and bad: the default model (SmolLM2, 135 million parameters), its recipe, six values,
and at most 100 tokens a comment. A model of this size knows little and wanders. What is said of each is one reader's
opinion. `python docs/answers.py` makes this page again.

The request for a comment was chosen among seven wordings on four situations and 31 values, 40 tokens each. Asked for
two short sentences on what matters most, the model ended by itself in 57 % of the cases (2 % with "Please comment on
the following situation"), and refused or spoke of itself as an AI in 1 % (6 %).
"""


def main() -> None:
    """Ask, and write the page."""
    asked = tomllib.loads((HERE / "answers.toml").read_text(encoding="utf-8"))["answer"]
    # In numbers that are the same on every processor.
    vispa = Vispa.from_pretrained(dtype="float32")
    answers: dict[int, OvertonResponse] = {}
    for written in (False, True):
        mine = [i for i, one in enumerate(asked) if one.get("self", False) is written]
        if written:
            vispa.write_with(vispa.own_reader)
        found = vispa.respond_many([Request(asked[i]["text"]) for i in mine], max_new_tokens=100)
        for place, answer in zip(mine, found, strict=True):
            if not isinstance(answer, OvertonResponse):
                raise SystemExit(f"{asked[place]['text']}: {answer}")
            answers[place] = answer
    recipe = answers[0].provenance.steering
    how = f"Recipe: `{recipe.estimator}`, blocks {', '.join(map(str, recipe.blocks))}, {recipe.magnitude} "
    parts = [HEAD, f"{how}{recipe.amount:g}.\n", *(_part(i, asked[i], answers[i]) for i in range(len(asked)))]
    (HERE / "answers.md").write_text("\n".join(parts), encoding="utf-8")


def _part(number: int, asked: Mapping[str, Any], answer: OvertonResponse) -> str:
    digest = hashlib.sha256(answer.response.encode()).hexdigest()[:12]
    known = asked.get("digest") == digest
    if not known:
        sys.stderr.write(f'{number + 1}. {asked["text"]}: digest = "{digest}"\n')
    who = ", written by the model itself (`--aggregator self`)" if asked.get("self") else ""
    remark = asked["remark"] if known else "Not read yet."
    return "\n".join(
        [
            f"## {number + 1}. {asked['text']}",
            "",
            f"{remark}",
            "",
            f"The answer{who}:",
            "",
            *_fenced([answer.response]),
            "",
            "The comments it was made of:",
            "",
            *_fenced([f"[{one.value}{_flags(one, answer.comments)}] {one.text}" for one in answer.comments]),
            "",
        ]
    )


def _flags(comment: Comment, comments: Sequence[Comment]) -> str:
    found = [
        comment.ending if comment.ending != "own" else "",
        "refused" if comment.refused else "",
        "" if comment.repeats is None else f"as {comments[comment.repeats].value}",
    ]
    return "".join(f", {flag}" for flag in found if flag)


def _fenced(texts: Sequence[str]) -> list[str]:
    """Texts of a model as they are, whatever marks they hold."""
    fence = "~" * 3
    while any(fence in text for text in texts):
        fence += "~"
    return [f"{fence}text", *texts, fence]


if __name__ == "__main__":
    main()
