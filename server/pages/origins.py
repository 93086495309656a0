"""Whether a request that changes something came from a page of this server.

Beside the token in the form: a browser says in `Origin` whose page sends a form, and no page can forge it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from server.api.problems import Problem, ProblemType
from server.parts import PublicFace


def check_origin(headers: Mapping[str, str], face: PublicFace) -> None:
    """Raises Problem 403 where the request's Origin is missing or another's."""
    origin = headers.get("origin")
    if origin is None:
        raise Problem(ProblemType.FORBIDDEN, "a form has to say in Origin where it comes from")
    scheme = "https" if face.over_tls else "http"
    own = {f"{scheme}://{headers.get('host', '').lower()}"}
    if face.public_url is not None:
        parts = urlsplit(face.public_url)
        own.add(f"{parts.scheme}://{parts.netloc}".lower())
    if origin.lower() not in own:
        raise Problem(ProblemType.FORBIDDEN, "this form was sent from another page than one of this server")
