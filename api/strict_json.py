"""Turn a request body into plain values; what they must hold is checked by whoever reads them."""

from __future__ import annotations

import json

from starlette.datastructures import Headers

from fewstep.errors import MalformedBody, UnsupportedMediaType
from fewstep.plain_json import check_plain


def check_media_type(headers: Headers) -> None:
    """Refuse a body that does not claim to be JSON.

    Raises:
        UnsupportedMediaType: the Content-Type is missing or another one.
    """
    media_type = headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType(
            f"Content-Type={media_type[:80]!r}; allowed: application/json", field="Content-Type"
        )


def parse_json(body: bytes) -> object:
    """Parse JSON in strict UTF-8 into values that every database can store.

    Raises:
        MalformedBody: not UTF-8, not JSON, or nested too deeply for the parser.
        InvalidInput: a number that is not finite or half a character; names the field.
    """
    try:
        value: object = json.loads(_decode(body))
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"body: not JSON at line {error.lineno}, column {error.colno} ({error.msg});"
            " allowed: one JSON object",
            field="body",
        ) from None
    except RecursionError:
        raise MalformedBody(
            "body: nested too deeply; allowed: lists inside one object", field="body"
        ) from None
    except ValueError:  # Python converts no integer of more than some thousand digits
        raise MalformedBody(
            "body: a number of thousands of digits; allowed: 64-bit numbers", field="body"
        ) from None
    check_plain(value)
    return value


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(
            f"body: byte {error.start} is 0x{body[error.start]:02x}, which is not UTF-8;"
            " allowed: JSON in UTF-8",
            field="body",
        ) from None
