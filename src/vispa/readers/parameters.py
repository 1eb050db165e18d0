"""Parameters of a request to a chat API: which ones a server takes, and which ones the user sets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vispa.errors import InputError

#: Seconds that a request may take, from its first byte to the last of the reply.
DEFAULT_TIMEOUT = 60.0
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 0.001, 86_400.0

# What the package itself must say, or what would change the form of the reply.
_RESERVED = frozenset({"model", "messages", "stream", "stream_options", "n", "logprobs", "top_logprobs"})
# The two names of one limit, older and newer.
_LIMITS = ("max_tokens", "max_completion_tokens")
# Most that the newer models of OpenAI and vLLM's defaults give.
_FEW_LOGPROBS = 5
_LONGEST = 10_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# Numbers on their own, not those within a model's name.
_NUMBER = re.compile(r"(?<![\w.\-])\d{1,4}(?![\w\-]|\.\d)")
_UNKNOWN = re.compile(r"max_completion_tokens|not support|unsupported|unknown|unrecogni[sz]ed|not permitted|extra")


def check_parameters(given: Any, field: str = "parameters") -> dict[str, Any]:
    """The user's own parameters of every request.

    Args:
        given: name → value, as JSON can say it.
        field: what they are called in messages.

    Raises:
        InputError: no mapping, an impossible or reserved name, or a value that is not JSON.
    """
    advice = 'Write for example {"reasoning_effort": "low"}.'
    if not isinstance(given, Mapping):
        raise InputError(field, "are no object of names and values.", advice)
    for name in given:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(field, f"hold {str(name)[:80]!a}, which is no name of a parameter.", advice)
        if name in _RESERVED:
            raise InputError(field, f"cannot set {name}, which is set here.", "Leave it out.")
    if all(name in given for name in _LIMITS):
        raise InputError(field, f"set both {' and '.join(_LIMITS)}.", "Keep the one that the server takes.")
    try:
        text = json.dumps(dict(given), allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise InputError(field, "hold a value that JSON cannot say.", advice) from None
    if len(text) > _LONGEST:
        raise InputError(field, f"are longer than {_LONGEST:,} characters.", advice)
    copied: dict[str, Any] = json.loads(text)
    return copied


@dataclass(frozen=True)
class Accepted:
    """What a server takes, as far as is known; begins with what most servers take.

    Attributes:
        limit: name of the limit of new tokens.
        temperature: whether a temperature may be set.
        top_logprobs: how many likely tokens may be asked for; 0 where none are given.
    """

    limit: str = _LIMITS[0]
    temperature: bool = True
    top_logprobs: int = 20

    @classmethod
    def at_first(cls, own: Mapping[str, Any], top_logprobs: int) -> Accepted:
        """What is tried first, given the user's own parameters."""
        return cls(_LIMITS[1] if _LIMITS[1] in own else _LIMITS[0], "temperature" not in own, top_logprobs)

    def body(self, own: Mapping[str, Any], tokens: int, *, weighing: bool) -> dict[str, Any]:
        """The parameters of one request.

        Args:
            own: the user's; they come before the package's.
            tokens: longest answer, where the user sets none.
            weighing: whether the first token's probabilities are asked for; then one token is enough.
        """
        ours: dict[str, Any] = {"temperature": 0} if self.temperature else {}
        ours[self.limit] = tokens
        if not weighing:
            return {**ours, **own}
        rest = {name: value for name, value in own.items() if name not in _LIMITS}
        return {**ours, **rest, self.limit: 1, "logprobs": True, "top_logprobs": self.top_logprobs}

    def after_refusal(self, named: str, said: str, own: Mapping[str, Any], *, weighing: bool) -> Accepted | None:
        """What to try after a server refused a request; None where nothing else can be tried.

        Every parameter changes at most once (likely tokens: fewer, then none), and only where the
        refusal names it; a parameter that the user set is the user's to change.

        Args:
            named: the parameter that the error names, if any.
            said: the server's words.
            own: the user's parameters.
            weighing: whether probabilities were asked for.
        """
        said = said.lower()

        def about(parameter: str) -> bool:
            return parameter not in own and (named == parameter or (not named and parameter in said))

        if weighing and self.top_logprobs and ("logprob" in named or (not named and "logprob" in said)):
            return replace(self, top_logprobs=_fewer(self.top_logprobs, named, said))
        if self.limit == _LIMITS[0] and about(_LIMITS[0]) and _UNKNOWN.search(said):
            return replace(self, limit=_LIMITS[1])
        if self.temperature and about("temperature"):
            return replace(self, temperature=False)
        return None

    def change(self, later: Accepted) -> str:
        """In words, how requests change when something is refused."""
        words = []
        if later.limit != self.limit:
            words.append(f"{later.limit} is sent instead of {self.limit}, which it does not take")
        if later.temperature != self.temperature:
            words.append("no temperature is sent, as it does not take 0, so that answers may differ from call to call")
        if later.top_logprobs != self.top_logprobs:
            words.append(
                f"{later.top_logprobs} likely tokens are asked for instead of {self.top_logprobs}"
                if later.top_logprobs
                else "options are not weighed, as it gives no logprobs"
            )
        return "; ".join(words)


def _fewer(asked: int, named: str, said: str) -> int:
    """How many likely tokens to ask for next: as many as the server names, a few, or none."""
    smaller = [number for number in map(int, _NUMBER.findall(said)) if 1 <= number < asked]
    if smaller:
        return max(smaller)
    many = named == "top_logprobs" or "top_logprobs" in said
    return _FEW_LOGPROBS if many and asked > _FEW_LOGPROBS else 0
