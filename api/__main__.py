"""`python -m api`: serve the API alone; workers run elsewhere (`python -m search.worker`)."""

from __future__ import annotations

import sys

from api.server import run_server
from fewstep.errors import FewstepError
from store.settings import Settings


def main() -> int:
    """Serve; 2 where the settings cannot work, such as a port that is taken."""
    try:
        run_server(Settings())
    except FewstepError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
