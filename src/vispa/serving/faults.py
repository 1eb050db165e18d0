"""What goes wrong, in the shape that OpenAI's clients read: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from vispa.errors import (
    BusyError,
    ClosedError,
    EngineError,
    InputError,
    NumericalError,
    ReaderSetupError,
    VispaError,
    kind_and_place,
)
from vispa.files.validation import UNKNOWN, first_fault
from vispa.live.calls import StoppedError
from vispa.readers.base import Failure, Unreached
from vispa.serving.settings import RETRY_SECONDS
from vispa.steering.recipe import Recipe

_logger = logging.getLogger(__name__)

_CODES = {
    400: "invalid_json",
    401: "invalid_api_key",
    403: "forbidden_host",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_value",
    429: "too_many_requests",
    500: "internal_error",
    502: "reader_failed",
    503: "unavailable",
    504: "timeout",
}
#: So much is open that nothing more is read.
OVERLOADED = "overloaded"
# What a message calls a field that the body calls otherwise.
_NAMES = {"max-new-tokens": "sampling.max_tokens", "top-p": "sampling.top_p", "value": "values"}
# What is no fault of a field; the last one holds for whatever a model cannot answer.
_KINDS: tuple[tuple[type[VispaError], int, str], ...] = (
    (BusyError, 429, "too_many_rows"),
    (ClosedError, 503, "draining"),
    (EngineError, 503, "engine_restarted"),
    # Who is still there to hear it was stopped because the server ends.
    (StoppedError, 503, "stopped"),
    (NumericalError, 422, "not_finite"),
    (VispaError, 422, "no_answer"),
)
_OF_SAMPLING = ("temperature", "seed")
# Some of these are found out only when a plan is made.
_OF_RECIPE = frozenset(field.name for field in fields(Recipe))


class Fault(BaseModel):
    """What went wrong.

    Attributes:
        message: what happened and what to do.
        type: whose fault it is.
        param: path of the field at fault.
        code: in one word.
    """

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str


class FaultBody(BaseModel):
    """The body of every refusal."""

    error: Fault


#: What a route may answer with beside what it gives, for its description.
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": FaultBody, "description": f"Refused: {code.replace('_', ' ')}."}
    for status, code in _CODES.items()
}


class Refusal(VispaError):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: what happened and what to do.
        param: path of the field at fault.
        code: in one word, where the status does not say all.
        retry_seconds: when to come again, where that makes sense.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_seconds: int = RETRY_SECONDS,
    ) -> None:
        self.status, self.param, self.code = status, param, code or _CODES[status]
        self.retry_seconds = retry_seconds
        super().__init__(message)


def failure_refusal(failure: Failure) -> Refusal:
    """What a client is told of a text that has no answer."""
    return Refusal(502, failure.reason) if isinstance(failure, Unreached) else refusal_of(VispaError(failure.reason))


def fault_body(refusal: Refusal) -> dict[str, Any]:
    """A refusal as JSON."""
    kind = "invalid_request_error" if refusal.status < 500 and refusal.status != 429 else "server_error"
    kind = "rate_limit_error" if refusal.status == 429 else kind
    return {"error": {"message": str(refusal), "type": kind, "param": refusal.param, "code": refusal.code}}


def fault_response(refusal: Refusal) -> JSONResponse:
    """A refusal as a response, with when to come again and how to be let in."""
    headers = {}
    if refusal.status in (429, 503):
        headers["Retry-After"] = str(refusal.retry_seconds)
    if refusal.code == OVERLOADED:
        # What is left of the body need not be read.
        headers["Connection"] = "close"
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(fault_body(refusal), refusal.status, headers)


def refusal_of(error: BaseException, prefix: str = "", text: str = "text") -> Refusal:
    """What a client is told of an error.

    Args:
        error: raised while its request was answered.
        prefix: path of the object in the body that holds the fields of a request, with its dot.
        text: path of the text.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ReaderSetupError):
        # How this server is set up is its operator's affair; what the other one says may quote a user.
        _logger.error("the model that reads comments refuses how it is asked: %s. %s", error.field, error.advice)
        words = "The model that reads the comments takes nothing from this server, whose log says why."
        return Refusal(502, words, code="reader_refused")
    if isinstance(error, InputError):
        param = text if error.field == "text" else prefix + in_body(error.field)
        return Refusal(422, f"{param}: {error.problem} {error.advice}", param=param)
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            return Refusal(status, str(error), code=code)
    say_fault(error)
    return Refusal(500, "Something went wrong here; it is in the server's log.")


def say_fault(error: BaseException) -> None:
    """Log an error of ours by its kind and place: its message may quote a user."""
    _logger.error("fault: %s", kind_and_place(error))


def install(app: FastAPI) -> None:
    """Give all errors of an application the one shape."""

    def refused(_: Request, error: Exception) -> JSONResponse:
        return fault_response(refusal_of(error))

    def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return fault_response(_invalid(error.errors(), error.body))

    def plain(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = error.status_code if error.status_code in _CODES else 400
        words = {400: "The body is not JSON.", 404: "There is nothing here.", 405: "This route takes another method."}
        response = fault_response(Refusal(status, words.get(status, str(error.detail))))
        response.headers.update(error.headers or {})
        return response

    app.add_exception_handler(VispaError, refused)
    app.add_exception_handler(Exception, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)


def _invalid(errors: Sequence[Mapping[str, Any]], body: Any) -> Refusal:
    """The first field at fault."""
    if any(one["type"] == "json_invalid" for one in errors):
        return Refusal(400, "The body is not JSON.")
    # What comes first says where in the request: in its body, or its path.
    found = first_fault([{**one, "loc": tuple(one["loc"])[1:]} for one in errors], body)
    param = ".".join(map(str, found.path))
    words = "is unknown, or has no effect here. Leave it out."
    if found.kind != UNKNOWN:
        words = f"{found.problem} {found.should_be or found.advice}"
    return Refusal(422, f"{param or 'body'}: {words}"[:2000], param=param[:500] or None)


def in_body(field: str) -> str:
    """The path in a body of what a message calls otherwise, from the object that holds the fields of a request."""
    if field in _OF_SAMPLING:
        return f"sampling.{field}"
    if field.partition(".")[0] in _OF_RECIPE:
        return f"recipe.{field}"
    return _NAMES.get(field, field)
