"""What Starlette and uvicorn take alone: an endpoint that reads a body. `python -m bench.empty_endpoint PORT`."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def answer(request: Request) -> Response:
    await request.body()
    return Response(b'{"results": []}', media_type="application/json")


def main() -> None:
    app = Starlette(routes=[Route("/v1/events", answer, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="error")


if __name__ == "__main__":
    main()
