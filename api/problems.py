"""Every error as application/problem+json (RFC 9457), from one place and in ASCII.

Nothing of a request is echoed but what a message of ours names, shortened and escaped: FastAPI's
own handler puts the raw input into its answer, which fails for NaN and lone surrogates.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fewstep.errors import FewstepError

MEDIA_TYPE = "application/problem+json"
MAX_SHOWN = 80  # characters of a wrong value that a message shows
MAX_ERRORS = 20

_logger = logging.getLogger("fewstep.api")
_CODES = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}


class FieldError(BaseModel):
    """One wrong field."""

    field: str = Field(examples=["nfe"])
    message: str = Field(examples=["nfe=1001: must be in 1..1000"])


class Problem(BaseModel):
    """An error; `code` is stable and meant for programs, `detail` for people."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["nfe=1001: must be in 1..1000"])
    code: str = Field(examples=["invalid-input"])
    errors: list[FieldError] = []


def printable(value: object) -> str:
    """Show a value in ASCII and at most `MAX_SHOWN` characters, safe for any log or terminal."""
    shown = ascii(value) if isinstance(value, str) else ascii(repr(value))[1:-1]
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."


def problem_of(error: FewstepError) -> Response:
    """Turn an error of ours into its reply."""
    fields = [FieldError(field=_ascii(error.field), message=_ascii(error.message))]
    return _reply(error.status, error.code, error.message, fields if error.field else [])


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""

    @app.exception_handler(FewstepError)
    async def ours(_: Request, error: FewstepError) -> Response:
        return problem_of(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        fields = [_field_error(entry) for entry in error.errors()[:MAX_ERRORS]]
        detail = "; ".join(field.message for field in fields)
        return _reply(422, "invalid-input", detail, fields)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, f"http-{error.status_code}")
        detail = f"{request.method}: {error.detail}"
        return _reply(error.status_code, code, detail, [], dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        _logger.error("request-failed", extra={"event": "request-failed"}, exc_info=error)
        detail = "the service failed; its log says why. Nothing of your request was stored twice"
        return _reply(500, "internal-error", detail, [])


def _field_error(entry: dict[str, object]) -> FieldError:
    """Say field, value and what is allowed for one finding of pydantic's."""
    location = entry.get("loc", ())
    parts = list(location) if isinstance(location, tuple) else []
    field = _ascii(".".join(str(part) for part in parts[1:] or parts))
    message = f"{field}={printable(entry.get('input'))}: {entry.get('msg')}"
    return FieldError(field=field, message=_ascii(message))


def _reply(
    status: int,
    code: str,
    detail: str,
    errors: list[FieldError],
    headers: dict[str, str] | None = None,
) -> Response:
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_ascii(detail),
        code=code,
        errors=errors,
    )
    return Response(problem.model_dump_json(), status, headers, MEDIA_TYPE)


def _ascii(text: str | None) -> str:
    return (text or "").encode("ascii", "backslashreplace").decode("ascii")
