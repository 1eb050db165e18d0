"""Which sentences of the domains' suites stand in another text too, word for word.

What two texts share as a whole (`training.near_copies`) says nothing of one sentence that both hold. Here a sentence of
one that stands in the other counts, whichever is the longer; case, punctuation and the form of letters do not. Names of
values, rights and duties are not compared: "Right to a fair trial" is nobody's wording.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from training.domain_suites import HERE, LETTERS, written_lines

#: A sentence has at least so many words to be somebody's wording; an option, which is short, so many.
LEAST, LEAST_OF_OPTION = 5, 4

_END = re.compile(r"[.!?…:;\n]+")
_WORD = re.compile(r"\w+")

Sentence = tuple[str, ...]


def sentences(text: str) -> Iterator[Sentence]:
    """Words of each sentence of a text, in one case and one form of letters, without apostrophes."""
    plain = re.sub("['’]", "", unicodedata.normalize("NFKC", text).casefold())
    for part in _END.split(plain):
        if words := tuple(_WORD.findall(part)):
            yield words


def shared(ours: Mapping[str, str], others: Iterable[str], least: int = LEAST) -> list[tuple[str, str]]:
    """What two sets of texts share: (name of our text, the shared words), in the order of ours.

    Args:
        ours: name → text.
        others: texts to compare with.
        least: sentences of fewer words are nobody's wording.
    """
    own = {name: [one for one in sentences(text) if len(one) >= least] for name, text in ours.items()}
    theirs = {one for text in others for one in sentences(text) if len(one) >= least}
    ours_by_beginning = _by_beginning((one for found in own.values() for one in found), least)
    theirs_by_beginning = _by_beginning(theirs, least)
    repeated = {part for one in theirs for part in _parts(one, ours_by_beginning, least)}
    return [
        (name, " ".join(part))
        for name, found in own.items()
        for one in found
        for part in ([one] if one in repeated else _parts(one, theirs_by_beginning, least))
    ]


def _by_beginning(known: Iterable[Sentence], least: int) -> dict[Sentence, set[Sentence]]:
    found: dict[Sentence, set[Sentence]] = {}
    for one in known:
        found.setdefault(one[:least], set()).add(one)
    return found


def _parts(sentence: Sentence, known: Mapping[Sentence, set[Sentence]], least: int) -> Iterator[Sentence]:
    """Known sentences that stand in a sentence, or are the same."""
    for start in range(len(sentence) - least + 1):
        for one in sorted(known.get(sentence[start : start + least], ())):
            if sentence[start : start + len(one)] == one:
                yield one


def suite_sentences(domains: Iterable[str], folder: Path = HERE) -> tuple[dict[str, str], dict[str, str]]:
    """Situations, questions, explanations and targets, and options, by what they are called."""
    texts: dict[str, str] = {}
    options: dict[str, str] = {}
    for domain in domains:
        for kind, item, fields in written_lines(domain, folder):
            called = f"{domain} {item}"
            if kind in "SQ":
                texts[called] = fields[0]
                options |= {f"{called} {letter}": text for letter, text in zip(LETTERS, fields[1:], strict=False)}
            elif kind == "G":
                texts[f"{called} {fields[0]}: {fields[1]}"] = fields[3]
            elif kind == "T":
                texts[f"{called} target {fields[0]}"] = fields[0]
    return texts, options
