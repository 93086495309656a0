"""Runs one server and ends it when whoever started the keeper is gone, even by `kill -9`.

Run as `python -IS keeper.py COMMAND...`, for a quick start without site packages: standard input is the lifeline (its
end means that the parent is gone), the server's pid is the one line on standard output, and what the server prints goes
to standard error. The exit code is the server's, 128 + n for signal n. A pipe and not Linux's parent-death signal: that
one fires when the *thread* that started the server ends, and no other system has it.
"""

import os
import subprocess
import sys
import threading


def end_with_lifeline(server: "subprocess.Popen[bytes]") -> None:
    """Blocks until the parent is gone, then ends the server at once."""
    while os.read(0, 1):
        pass
    server.kill()  # does nothing to a server that has been waited for, so never hits a stranger with its pid


def main() -> int:
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=2) as server:
        os.write(1, f"{server.pid}\n".encode())
        threading.Thread(target=end_with_lifeline, args=(server,), daemon=True).start()
        code = server.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
