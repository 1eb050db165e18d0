"""Thoughts that a reasoning model writes before its answer, taken out of what it wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vispa.models.encoding import Prompt
    from vispa.models.loading import LoadedModel

# How models open and close a thought: as tags (DeepSeek, Qwen, Seed), as signs (Kimi, Mistral), as special tokens
# (Cohere, Sky-T1, MedGemma).
_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "seed:think")
_PAIRS = (
    *((f"<{name}>", rf"<{name}(?:\s[^<>\n]{{0,80}})?>", rf"</{name}\s{{0,80}}>") for name in _NAMES),
    *(
        (opening, re.escape(opening), re.escape(closing))
        for opening, closing in (
            ("◁think▷", "◁/think▷"),
            ("[THINK]", "[/THINK]"),
            ("<|think|>", "<|/think|>"),
            ("<|START_THINKING|>", "<|END_THINKING|>"),
            ("<|begin_of_thought|>", "<|end_of_thought|>"),
            ("<unused94>", "<unused95>"),
        )
    ),
)
#: Characters with which all marks begin.
MARK_SIGNS = "<[◁"
_MARKS = re.compile(
    # They are looked for first.
    rf"(?=[{re.escape(MARK_SIGNS)}])(?:"
    + "|".join(f"(?P<open{i}>{opening})|(?P<close{i}>{closing})" for i, (_, opening, closing) in enumerate(_PAIRS))
    + ")",
    re.IGNORECASE,
)
# A closing mark between blanks, quotes or punctuation is spoken of, and closes nothing.
_BEFORE_MENTION, _AFTER_MENTION = frozenset(" \t`\"'“‘("), frozenset(" \t`\"'”’).,;:!?")
# Some models wrap the answer that follows a thought.
_WRAPPED = re.compile(
    r"<(answer|response|solution|final)>(.*?)(?:</\1>|\Z)"
    r"|<\|(?:START_RESPONSE|begin_of_solution)\|>(.*?)(?:<\|(?:END_RESPONSE|end_of_solution)\|>|\Z)",
    re.DOTALL,
)
# Models with channels (gpt-oss) think in `analysis` and answer in `final`; the marks between vanish where special
# tokens are left out, and names and texts stand side by side.
_CHANNELS = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>")
_FINAL = re.compile(
    r"<\|channel\|>final[^<]{0,80}(?:<\|constrain\|>[^<]{0,80})?<\|message\|>(.*?)(?:<\||\Z)", re.DOTALL
)
_BARE_CHANNELS = re.compile(r"(?:analysis|commentary)(?=[^\sa-z])")
_BARE_FINAL = "assistantfinal"


def without_thoughts(text: str, *, thinking: bool = False) -> str | None:
    """The answer alone, without white space around it; None where the text ends within a thought.

    A thought opens at the start of the text or of a line. Marks that stand within a sentence are
    spoken of, and stay.

    Args:
        text: what a model wrote, special tokens included where they mark thoughts.
        thinking: the prompt has opened a thought already.
    """
    stripped = text.strip()
    if _CHANNELS.match(stripped):
        final = list(_FINAL.finditer(stripped))
        return final[-1][1].strip() if final else None
    if _BARE_CHANNELS.match(stripped):
        _, found, last = stripped.rpartition(_BARE_FINAL)
        return last.strip() if found else None
    if len(stripped) > 1 and any(sign.lower().startswith(stripped.lower()) for sign, _, _ in _PAIRS):
        return None
    answer = _outside(stripped, thinking)
    if answer is None or answer == stripped:
        return answer
    wrapped = _WRAPPED.match(answer)
    return (wrapped[2] or wrapped[3] or "").strip() if wrapped else answer


def answer_text(loaded: LoadedModel, prompt: Prompt, ids: Sequence[int]) -> str | None:
    """What a local model answered, without special tokens and thoughts; None where it was still thinking.

    Args:
        loaded: the model.
        prompt: what it continued; a chat template may have opened a thought at its end.
        ids: generated tokens.
    """
    tokenizer = loaded.tokenizer
    text = str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
    # Special tokens that mark thoughts are looked at before all special tokens are left out.
    whole = str(tokenizer.decode(list(ids), skip_special_tokens=False))
    if has_marks(whole) and not has_marks(text):
        text = whole
    thinking = bool(getattr(tokenizer, "chat_template", None)) and _opens_thought(prompt.text)
    answer = without_thoughts(text, thinking=thinking)
    if answer and text is whole:
        for token in tokenizer.all_special_tokens:
            answer = answer.replace(token, "")
    return None if answer is None else answer.strip()


def _opens_thought(prompt: str) -> bool:
    end = prompt[-200:].rstrip()
    marks = list(_MARKS.finditer(end))
    return bool(marks) and str(marks[-1].lastgroup).startswith("open") and marks[-1].end() == len(end)


def has_marks(text: str) -> bool:
    """Whether a text has a mark of a thought or a channel."""
    return bool(_MARKS.search(text) or _CHANNELS.search(text))


def _outside(text: str, thinking: bool) -> str | None:
    """What stands outside of marked thoughts."""
    # What ends the thought that the text is in: a mark of its kind, or any (""); None outside.
    closing = "" if thinking else None
    parts: list[str] = []
    start = 0
    for mark in _MARKS.finditer(text):
        kind = str(mark.lastgroup)
        if closing is not None:
            if kind == closing or (not closing and kind.startswith("close")):
                start, closing = mark.end(), None
        elif kind.startswith("open"):
            if _begins_line(text, start, mark.start()):
                parts.append(text[start : mark.start()])
                closing = kind.replace("open", "close")
        elif not _is_mention(text, mark):
            # A thought that was opened unseen: all before its end belongs to it.
            parts.clear()
            start = mark.end()
    return None if closing is not None else "".join([*parts, text[start:]]).strip()


def _begins_line(text: str, start: int, place: int) -> bool:
    """Whether nothing but white space stands before a place, on its line or since the last thought."""
    first = max(start, place - 80)
    before = text[first:place].rstrip(" \t")
    return before.endswith(("\n", "\r")) or (not before and first == start)


def _is_mention(text: str, mark: re.Match[str]) -> bool:
    before, after = text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1]
    return before in _BEFORE_MENTION and after in _AFTER_MENTION
