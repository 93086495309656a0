"""Ports that nobody listens on, for servers of this machine."""

import secrets
import socket

# Below the range that the system gives to outgoing connections (32768 and up on Linux, 49152 and up elsewhere): no
# client can sit on a server's port while that server is down for a restart.
FIRST = 20_000
LAST = 32_000
TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        # As servers do it: a port whose last connections are in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different free ports, picked at random so that two starts at the same time rarely pick the same.

    Raises OSError when there are not so many.
    """
    ports: list[int] = []
    for _ in range(TRIES * count):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if port not in ports and is_free(port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"found {len(ports)} of {count} free ports between {FIRST} and {LAST} on 127.0.0.1")


def accepts(host: str, port: int) -> bool:
    """Whether somebody takes connections there now."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
