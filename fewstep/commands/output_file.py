"""Files that commands write."""

from __future__ import annotations

from pathlib import Path

from fewstep.errors import InvalidInput


def write_file(path: Path, content: bytes) -> None:
    """Write what `--out` asks for.

    Raises:
        InvalidInput: no such folder, no permission.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"--out={str(path)!r}: {error.strerror}", field="out") from None
