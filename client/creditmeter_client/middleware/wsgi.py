"""The middleware for WSGI applications: Flask, Django. Stands inside compression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from creditmeter_client.meter import Meter
from creditmeter_client.middleware import inline
from creditmeter_client.middleware.calls import Call, _current
from creditmeter_client.middleware.policies import MiddlewareSettings
from creditmeter_client.middleware.session import Session, Shared

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class WsgiCreditMiddleware:
    """`app.wsgi_app = WsgiCreditMiddleware(app.wsgi_app, meter=meter, settings=MiddlewareSettings(describe))`."""

    def __init__(self, app: App, *, meter: Meter, settings: MiddlewareSettings) -> None:
        self._app = app
        self._settings = settings
        self._shared = Shared(meter, settings)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        call = _call_of(environ)
        session = Session(self._shared, call)
        token = _current.set(call)
        try:
            problem = session.rate_limited()
            if problem is None and (question := session.ask_admission()) is not None:
                in_time = answered_within(question, self._settings.admission_wait)
                problem = session.admitted(question, in_time=in_time)
            if problem is not None:
                headers = [(name.decode(), value.decode()) for name, value in problem.headers]
                start_response(f"{problem.status} {problem.reason}", headers)
                return [b"" if call.method == "HEAD" else problem.body]
            response = _Response(session, self._settings, start_response)
            try:
                result = self._app(environ, response.start)
                return response.body_of(result, environ.get("wsgi.file_wrapper"))
            except BaseException:
                session.finish(failed=True)
                raise
        finally:
            _current.reset(token)


class _Response:
    """Holds back the start of an answer until the first part of its body shows what it is."""

    def __init__(self, session: Session, settings: MiddlewareSettings, start_response: StartResponse) -> None:
        self._session = session
        self._settings = settings
        self._start_response = start_response
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._is_held = False
        self._is_candidate = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        """What the application calls as start_response."""
        if exc_info is not None and self._status and not self._is_held:
            return self._start_response(status, headers, exc_info)  # raises: the answer has begun
        self._status, self._headers, self._is_held = status, list(headers), True
        call = self._session.call
        lines = _as_bytes(headers)
        call.answered(int(status[:3]), lines)
        self._is_candidate = inline.could_have_usage(call.method, int(status[:3]), lines, self._settings.largest_body)
        return self._write

    def body_of(self, result: Iterable[bytes], file_wrapper: Any) -> Iterable[bytes]:
        """The body to give to the server: the application's own object wherever nothing changes."""
        if self._is_held and isinstance(result, list | tuple):
            body = self.whole(b"".join(result)) if self._is_candidate else None
            self.release()
            self._session.finish()
            return result if body is None else [body]
        if self._is_held and not self._is_candidate:
            self.release()
            if isinstance(file_wrapper, type) and isinstance(result, file_wrapper):
                self._session.finish()  # the server may send it without us
                return result
        return _Body(result, self, self._session)

    def begun(self, first: bytes, rest: Iterator[bytes]) -> bytes:
        """The first part to send, once the application has given one. It may be the whole body."""
        length = inline.content_length(_as_bytes(self._headers))
        if self._is_candidate and length is not None and first[:1] == b"{":
            if inline.is_asked(self._session.call.headers):
                body = first + b"".join(rest)
                changed = self.whole(body) if len(body) == length else None
                self.release()
                return body if changed is None else changed
            if self._session.is_metered(is_over=False):
                self._headers = _as_text(inline.with_vary(_as_bytes(self._headers)))
        self.release()
        return first

    def whole(self, body: bytes) -> bytes | None:
        """The body with credit usage, and its headers set; None where it stays as it is."""
        length = inline.content_length(_as_bytes(self._headers))
        fits = len(body) <= self._settings.largest_body and length in {None, len(body)}
        if (
            not fits
            or not inline.is_object(body)
            or inline.has_member(body)
            or not self._session.is_metered(is_over=True)
        ):
            return None
        headers = _as_bytes(self._headers)
        if not inline.is_asked(self._session.call.headers):
            self._headers = _as_text(inline.with_vary(headers))
            return None
        question = self._session.ask_decision()
        answered = question is not None and answered_within(question, self._settings.wait)
        decisions = question.result() if answered and question is not None and not question.exception() else None
        changed = inline.with_usage(body, self._session.credit_usage(decisions, asked=question is not None))
        if changed is not None:
            self._headers = _as_text(inline.headers_with_usage(headers, changed))
        return changed

    def release(self) -> Callable[[bytes], object]:
        """Tells the server the status and the headers, once."""
        if self._is_held:
            self._is_held = False
            self._server_write = self._start_response(self._status, self._headers)
        return self._server_write

    def _write(self, data: bytes) -> object:
        """PEP 3333's old way to send: what is sent by it stays as it is."""
        self._is_candidate = False
        return self.release()(data)


class _Body:
    """The application's body, part by part. Records the call at its end."""

    def __init__(self, result: Iterable[bytes], response: _Response, session: Session) -> None:
        self._result = result
        self._parts = iter(result)
        self._response = response
        self._session = session
        self._has_begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = _current.set(self._session.call)
        try:
            if self._has_begun:
                return next(self._parts)
            self._has_begun = True
            return self._response.begun(self._first(), self._parts)
        except StopIteration:
            self._session.finish()
            raise
        except BaseException:
            self._session.finish(failed=True)
            raise
        finally:
            _current.reset(token)

    def _first(self) -> bytes:
        """The first part that is not empty; an empty one where there are no others. Raises StopIteration without any.

        A server that gets no part at all states a length of 0, and after an empty one it states none.
        """
        first = None
        for part in self._parts:
            first = part
            if part:
                break
        if first is None:
            self._response.release()
            raise StopIteration
        return first

    def close(self) -> None:
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        finally:
            self._session.finish()


def answered_within(question: Future[Any], wait: float) -> bool:
    """Whether a question has its answer within `wait` seconds. It goes on in any case."""
    try:
        question.exception(wait)
    except FutureTimeout:
        return False
    return True


def _call_of(environ: Environ) -> Call:
    headers = [
        (name[5:].replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    ]
    headers += [
        (name.replace("_", "-"), environ[name]) for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name)
    ]
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
    return Call(
        environ["REQUEST_METHOD"],
        path or "/",
        headers,
        query_string=environ.get("QUERY_STRING", ""),
        client_ip=environ.get("REMOTE_ADDR"),
        raw=environ,
    )


def _as_bytes(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _as_text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return inline.decoded(headers)
