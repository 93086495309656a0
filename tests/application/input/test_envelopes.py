"""Lines out of the envelopes of container runtimes and syslog, split ones whole again."""

import json

import pytest

from application.input.envelopes import LONGEST_LOG_LINE, any_envelope, cri, docker, log_records, syslog
from application.input.lines import Line

AT = "2026-11-25T10:00:00.123456789Z"


def docker_line(text: str, stream: str = "stdout") -> bytes:
    return json.dumps({"log": text, "stream": stream, "time": AT}).encode()


@pytest.mark.parametrize(
    "prefix",
    [
        f"{AT} stdout F ", f"{AT} stderr F ", "2026-11-25T10:00:00Z stdout F ", f"{AT} stdout F:tag ",
        "2026-11-25T11:00:00.123456+01:00 stdout F ", f"{AT} ",
        "Nov 25 10:00:01 web1 nginx: ", "Nov  5 10:00:01 web1 nginx[123]: ", "<134>Nov 25 10:00:01 web1 nginx: ",
        "2026-11-25T10:00:01.123456+00:00 web1 nginx: ", "<190>Nov 25 10:00:01 10.0.0.1 nginx: ",
        "2026-11-25T10:00:01+0000 web1 nginx[7]: ", "<190>Nov 25 10:00:01 nginx: ",
        "Nov 25 10:00:01 2001:db8::5 nginx: ",
        "2026-11-25T10:00:00.123456+00:00 app[web.1]: ", "118 <134>1 2026-11-25T10:00:07Z web1 nginx 7 - - ",
        "<134>1 2026-11-25T10:00:07Z web1 nginx 7 - - ", "<134>1 - - - - - - ",
        '<134>1 2026-11-25T10:00:07Z web1 nginx 7 ID [a@1 b="c \\" ] d"][e@1 f="g"] ',
        "<134>1 2026-11-25T10:00:07.123456+01:00 web1 nginx 7 - - \ufeff",
    ],
)  # fmt: skip
def test_prefixes(prefix: str) -> None:
    for text in ("1.2.3.4 - - [x]", "[2001:db8::1]:80 - -", '"1.2.3.4, 10.0.0.1" - -'):
        part = any_envelope((prefix + text).encode())
        assert part is not None
        assert (part.text, part.is_last) == (text.encode(), True)


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3.4 - - [25/Nov/2026:10:00:00 +0000]", "[2001:db8::1]:80 - - [", "example.org:443 1.2.3.4 - -",
        '{"remote_addr": "1.2.3.4"}', "web-1  | 1.2.3.4 - -",
    ],
)  # fmt: skip
def test_a_line_without_an_envelope_stays_as_it_is(text: str) -> None:
    part = any_envelope(text.encode())
    assert part is not None
    assert part.text == text.encode()
    assert cri(text.encode()) is syslog(text.encode()) is docker(text.encode()) is None


def test_dockers_json() -> None:
    part = docker(docker_line('1.2.3.4 - - "é" \\x16\n'))
    assert part is not None
    assert part.text == '1.2.3.4 - - "é" \\x16'.encode()
    for wrong in (b"{", b'{"log": 1, "stream": "stdout"}', b'{"log": "a"}', b"[]", b'{"a": ' + b"[" * 100_000):
        assert docker(wrong) is None


def texts(lines: list[bytes]) -> list[tuple[int, bytes | None, bool]]:
    numbered = (Line(number, content) for number, content in enumerate(lines, 1))
    return [(record.number, record.text, record.ended) for record in log_records(numbered, any_envelope)]


def test_split_lines_are_put_together_by_their_stream() -> None:
    at = AT.encode()
    assert texts([
        at + b" stdout P one ", at + b" stderr P bad ", at + b" stdout P two ", at + b" stderr F end",
        at + b" stdout F three", at + b" stdout F four", at + b" stdout P five",
    ]) == [
        (4, b"bad end", True), (5, b"one two three", True), (6, b"four", True), (7, b"five", False),
    ]  # fmt: skip
    assert texts([docker_line("one "), docker_line("x\n", "stderr"), docker_line("two\n")]) == [
        (2, b"x", True), (3, b"one two", True),
    ]  # fmt: skip


def test_a_split_line_keeps_all_its_bytes_and_is_bounded() -> None:
    at = AT.encode()
    (record,) = log_records(iter([Line(1, at + b" stdout P a"), Line(2, at + b" stdout F b")]), cri)
    assert record.content == at + b" stdout P a\n" + at + b" stdout F b"
    pieces = [Line(number, at + b" stdout P " + b"a" * 16_000) for number in range(200)]
    (record,) = log_records(iter([*pieces, Line(201, at + b" stdout F end")]), cri)
    assert record.too_long
    assert len(record.content) <= LONGEST_LOG_LINE


def test_fluent_bits_mark_says_where_a_line_ends() -> None:
    def line(text: str, mark: str) -> bytes:
        return json.dumps({"log": text, "stream": "stdout", "logtag": mark}).encode()

    assert texts([line("one", "F"), line("two ", "P"), line("three", "F")]) == [
        (1, b"one", True),
        (3, b"two three", True),
    ]
