"""Why somebody is not let in, or may not do what was asked; each with its code (see application/errors.py)."""

from __future__ import annotations

from application.errors import ErrorCode, UseCaseError


class KeyRefused(UseCaseError):
    """The key, link or session opens nothing. The message names no part of it. A server answers 401."""

    code = ErrorCode.UNAUTHENTICATED


class KeyUnknown(KeyRefused):
    """No such key; the end of `credits.access` was read before this was said."""


class KeyRevoked(KeyRefused):
    """The key was revoked, or the member, link or session that it stands for has ended."""


class KeyExpired(KeyRefused):
    """Its time is over."""


class AccessUnavailable(UseCaseError):
    """Who may do what cannot be known now: the end of `credits.access` was not reached for too long. Try again."""

    code = ErrorCode.UNAVAILABLE


class NotAllowed(UseCaseError):
    """The identity is known and may not do this. A server answers 403."""

    code = ErrorCode.FORBIDDEN
