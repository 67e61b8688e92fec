"""`fewstep schema`: the JSON Schema of schedule documents."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema of schedule documents.

    Example: fewstep schema > schedule.schema.json
    """
    from fewstep.schedule import json_schema  # late, for `--help` needs no pydantic models

    typer.echo(json.dumps(json_schema(), indent=2, sort_keys=True))
