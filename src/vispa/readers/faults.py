"""Errors that a chat API answers with, by HTTP status or within a reply, and what they mean for the other prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vispa.errors import InputError, ReaderSetupError
from vispa.readers.base import Failure, Unreached
from vispa.readers.retrying import Passing, retry_after

if TYPE_CHECKING:
    import openai

# Statuses that may pass, besides 500 and above.
_PASSING = frozenset({408, 409, 429})
# Words by which a server forbids what a prompt says, and not the model …
_MODERATED = re.compile(
    r"moderat|flagged|guardrail|content[\s_-]*(?:polic|filter|manag|safe|violat)|usage[\s_-]*polic"
    r"|safety[\s_-]*(?:polic|filter|setting|system)",
    re.IGNORECASE,
)
# … unless they speak of whose key it is.
_OWNER = re.compile(r"\b(?:account|organi[sz]ation|project|workspace|key)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Fault:
    """What a server says instead of an answer.

    Attributes:
        status: of HTTP, or the code in a reply that came with status 200.
        problem: what happened, for messages.
        said: the server's own words after a colon, short, on one line and without the key; empty where it has none.
        kind: what else the error calls itself (`code`, `type`).
        parameter: that the error names, in lower case; empty where it names none.
        wait: what the server asks for before another try, in seconds.
    """

    status: int
    problem: str
    said: str
    kind: str
    parameter: str
    wait: float

    @property
    def moderated(self) -> bool:
        """Whether the server forbids this one prompt for what it says."""
        words = f"{self.said} {self.kind}"
        return self.status == 403 and bool(_MODERATED.search(words)) and not _OWNER.search(words)


def fault_of_status(error: openai.APIStatusError, key: str) -> Fault:
    """What an HTTP error says.

    Args:
        error: of the client.
        key: that may stand in its words.
    """
    status, said = error.status_code, _words(error.body, key)
    return _fault(
        error.body, status, f"The server failed with HTTP status {status}{said}", said, error.response.headers
    )


def fault_in_reply(error: Any, headers: Mapping[str, str], key: str) -> Fault:
    """What an error says that a reply with status 200 holds.

    Args:
        error: as the reply holds it; without a code of HTTP it may pass, as a server's own failure.
        headers: of the reply.
        key: that may stand in its words.
    """
    found = str(error.get("code")) if isinstance(error, dict) else ""
    code = int(found) if re.fullmatch(r"[45]\d\d", found, re.ASCII) else None
    said = _words(error, key)
    problem = f"The server's reply is an error{'' if code is None else f' with the code {code}'}{said}"
    return _fault(error, code or 500, problem, said, headers)


def meaning(fault: Fault, model: str, place: str, key_variable: str) -> Failure | Passing | InputError:
    """Whether a fault is for now, for one prompt alone, or for all of them.

    Args:
        fault: that no other way to ask mends.
        model: that was asked.
        place: of the server.
        key_variable: that holds the key; empty where none is sent.

    Returns:
        `Passing` where another try may work, a failure of this prompt, or an error to raise for all.
    """
    status, said = fault.status, fault.said
    if fault.moderated:
        return Failure(
            f"The server at {place} forbids this prompt ({status}){said}. Change it, or choose another model."
        )
    if status == 401 and key_variable:
        return ReaderSetupError(key_variable, f"holds a key that {place} refuses (401).", "Put a valid one in.")
    if status == 401:
        return ReaderSetupError("key_variable", f"is empty, but {place} wants a key (401).", "Name the variable.")
    if status in (403, 404):
        what = "not allowed for this key" if status == 403 else "not known"
        advice = "Check the model's name, the base URL and what the key may use."
        return ReaderSetupError("model", f"{model} is {what} at {place} ({status}){said}.", advice)
    if status in _PASSING or status >= 500:
        return Passing(fault.problem, "Run again later, or with less concurrency.", fault.wait)
    advice = "Change the prompt, or choose another model."
    if status == 402:
        advice = "Check what the account at the server has left to pay with, then run again."
    return Unreached(f"{fault.problem} (HTTP API at {place}). {advice}")


def _fault(body: Any, status: int, problem: str, said: str, headers: Mapping[str, str]) -> Fault:
    fields = body if isinstance(body, dict) else {}
    named = fields.get("param")
    kind = " ".join(str(fields[name])[:200] for name in ("code", "type") if isinstance(fields.get(name), str))
    parameter = named.lower() if isinstance(named, str) else ""
    return Fault(status, problem, said, kind, parameter, retry_after(headers))


def _words(body: Any, key: str) -> str:
    """What the server says about an error, after a colon, short, on one line and without the key."""
    message = (body.get("message") or body.get("detail")) if isinstance(body, dict) else body
    words = " ".join(str(message or "")[:10_000].replace(key, "[key]").split())
    words = "".join(filter(str.isprintable, words))
    return f": {words[:200].rstrip('.')}" if words else ""
