"""docker-compose.yml read as compose reads it, as far as this project uses the format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# $$ is a dollar; ${NAME:-default} and ${NAME:?message} are the two forms in use.
_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


@dataclass(frozen=True, slots=True)
class ComposeService:
    """What a container is started with."""

    command: list[str]
    environment: dict[str, str]


def read_compose(path: Path, variables: Mapping[str, str]) -> dict[str, ComposeService]:
    """Read the services that have a command, with `variables` filled in.

    Raises:
        KeyError: a variable without default is not given.
    """
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return {
        name: ComposeService(
            command=[_fill(word, variables) for word in service["command"]],
            environment={
                key: _fill(str(value), variables) for key, value in service["environment"].items()
            },
        )
        for name, service in document["services"].items()
        if "command" in service
    }


def _fill(text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        if match["kind"] == "-":
            return variables.get(match["name"]) or match["rest"]
        return variables[match["name"]]

    return _VARIABLE.sub(value, text)
