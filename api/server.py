"""Uvicorn, on a socket of our own and with streams that end when it stops."""

from __future__ import annotations

import socket
import sys

import uvicorn

from api.app import create_app
from api.deps import Parts
from fewstep.errors import InvalidInput
from store.settings import Settings

GRACE_S = 5  # for requests under way when the server is told to stop


class Server(uvicorn.Server):
    """Ends event streams first, or stopping would wait for clients that never hang up."""

    def __init__(self, config: uvicorn.Config, parts: Parts) -> None:
        super().__init__(config)
        self._parts = parts

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything else."""
        self._parts.feed.close()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """Take the address.

    Raises:
        InvalidInput: it is taken, or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InvalidInput(
            f"FEWSTEP_PORT={port}: cannot listen on {host}:{port} ({error.strerror});"
            " stop what uses it, or set FEWSTEP_HOST and FEWSTEP_PORT (0 takes a free port)",
            field="FEWSTEP_PORT",
        ) from error
    return listener


def run_server(settings: Settings) -> None:
    """Serve until told to stop by SIGINT or SIGTERM."""
    listener = bind(settings.host, settings.port)
    app = create_app(settings)
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=GRACE_S, server_header=False
    )
    sys.stdout.write(f"fewstep API on {address_of(listener)}\n")
    sys.stdout.flush()
    Server(config, app.state.parts).run(sockets=[listener])


def address_of(listener: socket.socket) -> str:
    """The address that clients use."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
