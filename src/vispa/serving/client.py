"""A client of a server: the records of its plain routes."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vispa.errors import InputError, VispaError
from vispa.files.append_log import Identifier
from vispa.readers.address import key_of, shown_place
from vispa.readers.base import Failure
from vispa.readers.transport import OutOfTimeError, RedirectError, ReplyError, guarded_client, within
from vispa.records import Response
from vispa.request import Request
from vispa.serving.settings import MAX_BODY

#: Environment variable with the key that a client sends; needed where the server wants one.
VARIABLE = "VISPA_API_KEY"
#: Most texts that are sent together.
TOGETHER = 8
#: Longest time that a reply may take, in seconds.
SECONDS = 600.0
_TRIES = 8
_BUSY = (429, 503)


class ServerClient:
    """Asks a server.

    Args:
        address: of the server, with or without `/v1`.

    Raises:
        InputError: no address, or a key that cannot be.
    """

    def __init__(self, address: str) -> None:
        try:
            self.place = shown_place(address).removesuffix("/v1")
        except InputError as error:
            raise InputError("--server", error.problem, "Give one such as http://localhost:8000.") from error
        import httpx2

        headers = {"Authorization": f"Bearer {key_of(VARIABLE)}"} if os.environ.get(VARIABLE) else {}
        self._client = guarded_client(httpx2.Client, headers, timeout=SECONDS)

    def about(self) -> dict[str, Any]:
        """What the server says of itself; see `vispa.serving.telling.told_of`.

        Raises:
            VispaError: it cannot be reached, or says nothing that can be read.
        """
        found = self._asked("GET", "/v1/models/vispa", None).get("vispa", {})
        if not isinstance(found, dict) or not isinstance(found.get("settings", {}), dict):
            raise _unreadable()
        return found

    def respond(self, request: Request, how: Mapping[str, Any]) -> Response:
        """The answer to a request.

        Args:
            request: what is asked.
            how: `recipe`, `weights`, `polarity` and `sampling` of the body.

        Raises:
            InputError: the server refuses a field.
            VispaError: it cannot be reached, or has no answer.
        """
        return _record(self._asked("POST", "/v1/vispa/respond", {**_fields(request), **how}))

    def respond_many(
        self, requests: Sequence[Request], how: Mapping[str, Any], names: Sequence[Identifier] | None = None
    ) -> list[Response | Failure]:
        """The answers to requests, in their order; see `respond`.

        Args:
            requests: N, which are sent a few at a time.
            how: see `respond`.
            names: what each request goes by in messages; its number by default.

        Raises:
            InputError, VispaError: as `respond`.
        """
        names = range(len(requests)) if names is None else names
        found: list[Response | Failure] = []
        for items in _packets([_fields(request) for request in requests], MAX_BODY - len(_json({"items": [], **how}))):
            try:
                records = self._asked("POST", "/v1/vispa/batch", {"items": items, **how}).get("items")
            except InputError as error:
                raise _of_item(error, names[len(found) :]) from error
            if not isinstance(records, list) or len(records) != len(items):
                raise _unreadable()
            found += [_answer(record) for record in records]
        return found

    def _asked(self, method: str, path: str, body: Any) -> dict[str, Any]:
        content = None if body is None else _json(body)
        for number in range(_TRIES):
            status, retry, data = self._sent(method, path, content)
            if status not in _BUSY or number == _TRIES - 1:
                break
            time.sleep(retry)
        if status == 200 and isinstance(data, dict):
            return data
        raise _refused(status, data)

    def _sent(self, method: str, path: str, content: bytes | None) -> tuple[int, float, Any]:
        """Status, seconds to wait, and what came back."""
        import httpx2

        headers = {"Content-Type": "application/json"}

        def send() -> Any:
            return self._client.request(method, self.place + path, content=content, headers=headers)

        try:
            reply = within(SECONDS, send)
        except (OutOfTimeError, httpx2.TimeoutException) as error:
            raise VispaError(f"{self.place}: did not answer within {SECONDS:g} seconds.") from error
        except RedirectError as error:
            raise VispaError(f"{self.place}: sends us on to {error}. Name that server, if you trust it.") from error
        except ReplyError as error:
            raise VispaError(f"{self.place}: its reply {error}.") from error
        except httpx2.HTTPError as error:
            raise VispaError(
                f"{self.place}: cannot be reached. Check the address, and that the server runs."
            ) from error
        try:
            data = reply.json()
        except (ValueError, RecursionError):
            data = None
        retry = reply.headers.get("retry-after", "")
        return reply.status_code, min(float(retry), 30.0) if retry.isdecimal() else 2.0, data


def _fields(request: Request) -> dict[str, Any]:
    """The fields of a request that say something."""
    plain = asdict(Request("-"))
    return {name: given for name, given in asdict(request).items() if name == "text" or given != plain[name]}


def _json(data: object) -> bytes:
    """Data as it is sent: letters as they are, each of which would be six bytes long otherwise."""
    # Half a surrogate pair cannot be encoded; JSON's own way of writing it is for the server to refuse.
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _packets(items: Sequence[dict[str, Any]], room: int) -> Iterator[list[dict[str, Any]]]:
    """Items as they are sent together: so many as the server takes at once, of `room` bytes at most."""
    packet: list[dict[str, Any]] = []
    size = 0
    for item in items:
        added = len(_json(item)) + len(", ")
        if packet and (len(packet) == TOGETHER or size + added > room):
            yield packet
            packet, size = [], 0
        packet.append(item)
        size += added
    if packet:
        yield packet


def _record(data: Any) -> Response:
    try:
        found: Response = TypeAdapter(Response).validate_json(json.dumps(data))
    except (ValidationError, ValueError) as error:
        raise _unreadable() from error
    return found


def _answer(data: Any) -> Response | Failure:
    if not isinstance(data, dict):
        raise _unreadable()
    if isinstance(data.get("error"), str):
        return Failure(data["error"])
    record = {name: given for name, given in data.items() if name != "id"}
    if isinstance(record.get("provenance"), dict):
        record["provenance"] = {"timings": {}, **record["provenance"]}
    return _record(record)


def _refused(status: int, data: Any) -> VispaError:
    error = data.get("error") if isinstance(data, dict) else None
    said = str(error.get("message")) if isinstance(error, dict) else f"it answers with status {status}."
    param = error.get("param") if isinstance(error, dict) else None
    if status in (401, 403):
        return InputError(VARIABLE, f"the server does not let us in: {said}", "Put a key of the server in it.")
    if isinstance(param, str) and status < 500:
        return InputError(param, said.removeprefix(f"{param}: "), "(So says the server.)")
    return VispaError(f"the server: {said}")


def _of_item(error: InputError, names: Sequence[Identifier]) -> InputError:
    """A refusal that says which item is at fault, not which of those that were sent together."""
    place = re.fullmatch(r"items\.(\d{1,9})\.(.+)", error.field, re.DOTALL)
    if place is None or int(place[1]) >= len(names):
        return error
    return InputError(f"item {names[int(place[1])]!r}: {place[2]}", error.problem, error.advice)


def _unreadable() -> VispaError:
    return VispaError("the server: its reply is no record of this release. Use the same release on both sides.")
