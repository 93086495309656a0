"""Refusals of what a key has too much of at once: 429 with Retry-After and the RateLimit fields of the IETF's draft.

draft-ietf-httpapi-ratelimit-headers: a policy has its quota `q` and the unit `qu` that it counts; what is left is `r`.
The price book's limits are enforced where the priced requests are served (docs/client.md), with the same fields.
"""

from __future__ import annotations

from typing import Literal

from server.api.problems import Problem, ProblemType

Unit = Literal["concurrent-requests", "content-bytes"]


def too_many(policy: str, quota: int, detail: str, unit: Unit = "concurrent-requests") -> Problem:
    """The refusal by one of a key's bounds. `quota`: the most at once."""
    fields = {
        "ratelimit-policy": f'"{policy}";q={quota};qu="{unit}"',
        "ratelimit": f'"{policy}";r=0;t=1',
    }
    return Problem(ProblemType.TOO_MANY_REQUESTS, detail, headers=fields)
