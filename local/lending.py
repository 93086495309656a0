"""One broker and one server for several processes: started when the first asks, ended by whoever lends them.

The lender answers at a port of this machine, and only those that know its key.
"""

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import quote

from local.choose import NoService
from local.process import ServerFailed
from local.server import HOST
from local.start import Broker, ClickHouse


class Stoppable(Protocol):
    """What is lent: a server that its lender ends."""

    def stop(self) -> None: ...


class Lent(NamedTuple):
    """A started server, and the address by which others use it."""

    server: Stoppable
    address: str


class Ticket(NamedTuple):
    """What a process needs to ask a lender: plain data, which may be passed on to it."""

    port: int
    key: str

    def borrow(self, name: str, folder: Path) -> str:
        """The address of the service called ``name``; its files are in ``folder`` where this starts it.

        Raises ServerFailed where it cannot be had, with the reason, and where the lender is gone.
        """
        try:
            with Client((HOST, self.port), authkey=self.key.encode()) as lender:
                lender.send((name, str(folder)))
                is_lent, text = lender.recv()
        except (OSError, EOFError, AuthenticationError) as error:
            raise ServerFailed(f"{name} cannot be borrowed: the process that lends it does not answer") from error
        if not is_lent:
            raise ServerFailed(text)
        return str(text)


class Lender:
    """Lends each service that ``starts`` knows how to start, in a given folder, from threads of its own.

    A start that failed is not tried again: its reason is the answer to all who ask.
    """

    def __init__(self, starts: Mapping[str, Callable[[Path], Lent]]) -> None:
        self._starts = starts
        self._turns = {name: threading.Lock() for name in starts}
        self._answers: dict[str, tuple[bool, str]] = {}
        self._servers: list[Stoppable] = []
        self._open = True
        key = secrets.token_hex(16)
        self._listener = Listener((HOST, 0), backlog=64, authkey=key.encode())
        self.ticket = Ticket(self._listener.address[1], key)
        self._thread = threading.Thread(target=self._accept, name="lender", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends every server that was started, after a start that is under way. Once closed, it does nothing."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, self.ticket.port), timeout=10).close()  # nothing else wakes its thread
        self._thread.join()
        self._listener.close()
        for turn in self._turns.values():
            turn.acquire()  # never given back: nothing is started any more
        with contextlib.ExitStack() as servers:  # each is ended, also where ending another one fails
            for server in self._servers:
                servers.callback(server.stop)

    def _accept(self) -> None:
        while self._open:
            with contextlib.suppress(OSError, EOFError, AuthenticationError):  # it went away, or is a stranger
                asking = self._listener.accept()
                threading.Thread(target=self._answer, args=(asking,), name="lending", daemon=True).start()

    def _answer(self, asking: Connection) -> None:
        with asking, contextlib.suppress(OSError, EOFError):
            name, folder = asking.recv()
            with self._turns[name]:
                if name not in self._answers:
                    self._answers[name] = self._started(name, Path(folder))
            asking.send(self._answers[name])

    def _started(self, name: str, folder: Path) -> tuple[bool, str]:
        try:
            lent = self._starts[name](folder)
        except (NoService, ServerFailed) as error:
            return False, str(error)
        except Exception as error:  # noqa: BLE001 - whoever asks is in another process, and would never learn of it
            return False, f"{name} cannot be started: {type(error).__name__}: {error}"
        self._servers.append(lent.server)
        return True, lent.address


def lent_broker(broker: Broker) -> Lent:
    """A broker, by its bootstrap address."""
    return Lent(broker, broker.bootstrap)


def lent_clickhouse(server: ClickHouse) -> Lent:
    """A ClickHouse server, by an address as ``GivenClickHouse`` reads it."""
    who = f"{quote(server.user, safe='')}:{quote(server.password, safe='')}"
    return Lent(server, f"clickhouse://{who}@{server.host}:{server.port}?http_port={server.http_port}")
