"""What the published description says about errors, bodies and examples."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from api.problems import MEDIA_TYPE, Problem

# FastAPI takes these parts of the description as plain dictionaries.
Description = dict[str, Any]

BINARY: Description = {"type": "string", "format": "binary"}

COMMON = (400, 413, 422, 503)

_CODES = {
    400: ("malformed-body", "body: not JSON at line 1, column 2; allowed: one JSON object"),
    404: ("not-found", "search '0b8e...' does not exist"),
    409: ("conflict", "search '0b8e...' is running: its schedule exists once it has succeeded"),
    413: ("body-too-large", "body: larger than 1048576 bytes; allowed: at most 1048576 bytes"),
    415: ("unsupported-media-type", "Content-Type='text/plain'; allowed: application/json"),
    422: ("invalid-input", "nfe=1001: must be in 1..1000"),
    429: ("too-many", "1000 searches wait already, the most allowed: try again later"),
    503: ("service-unreachable", "the database did not answer (OperationalError)"),
}


def problems(*statuses: int) -> dict[int | str, Description]:
    """The `responses` of a route that may fail with these statuses, beside the common ones."""
    return {status: _problem(status) for status in sorted({*COMMON, *statuses})}


def example(description: str, value: object) -> Description:
    """The description of a good reply with one example."""
    return {"description": description, "content": {"application/json": {"example": value}}}


def json_body(schema: str) -> Description:
    """Describe a body that the route reads by itself: a component schema by name."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}}


def with_components(description: Description, models: Description) -> Description:
    """Add schemas that the routes refer to by name, and those that they refer to."""
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for name, model in models.items():
        for part, schema in model.get("$defs", {}).items():
            schemas.setdefault(part, schema)
        schemas[name] = {key: value for key, value in model.items() if key != "$defs"}
    return description


def _problem(status: int) -> Description:
    code, detail = _CODES[status]
    title = HTTPStatus(status).phrase
    shown = Problem(title=title, status=status, detail=detail, code=code)
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": schema, "example": shown.model_dump()}}
    return {"description": title, "content": content}
