"""What every test shares: one BLAS thread, no outside network, repeatable hypothesis runs."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

# Before torch or Ray is imported, here or in a process that a test starts: threads change in which
# order float32 sums are taken, and two cores are shared by many processes.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_DISABLE_IMPORT_WARNING="1",
)

# A shell that started the tests in the background made them ignore Ctrl-C, and every process they
# start would inherit that; a handler of our own is reset to the default in them.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A failing example found elsewhere must fail here too; locally, fresh examples each run find more.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("exploring", deadline=None, print_blob=True)
settings.load_profile("repeatable" if os.environ.get("CI") else "exploring")

# Fixtures: postgres_server, postgres_url; ray_address; database_url, store_engine (both databases);
# passed_teacher, ready_engine.
pytest_plugins = ["tests.postgres", "tests.ray_cluster", "tests.stores", "tests.teachers"]

ROOT = Path(__file__).resolve().parent.parent
_OWN_ADDRESSES = {card.address for cards in psutil.net_if_addrs().values() for card in cards}


def _refuse_outside_network(event: str, arguments: tuple[object, ...]) -> None:
    """Answer a connection to a public address as a machine without a network would."""
    if event != "socket.connect":
        return
    opened, address = arguments
    # Connecting a datagram socket sends nothing: it is how Ray learns this machine's own address.
    if not isinstance(opened, socket.socket) or opened.type != socket.SOCK_STREAM:
        return
    if isinstance(address, tuple) and _is_public(str(address[0])):
        raise OSError(errno.ENETUNREACH, f"tests use no outside network: {address}")


def _is_public(host: str) -> bool:
    """True for an address of the internet, unless this machine itself has it."""
    try:
        return ipaddress.ip_address(host).is_global and host not in _OWN_ADDRESSES
    except ValueError:  # a name; what it resolves to is connected to as an address
        return False


sys.addaudithook(_refuse_outside_network)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT
