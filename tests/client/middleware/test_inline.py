"""The member goes before the last brace, and nothing else of an answer changes."""

import json
import re
from typing import Any

import pytest
from creditmeter_client.middleware.inline import (
    could_have_usage,
    has_member,
    headers_with_usage,
    is_asked,
    with_usage,
    with_vary,
)
from hypothesis import given
from hypothesis import strategies as st

USAGE = {"total_results": 3, "total_credits": 6}
TEXT = b'"credit_usage":{"total_results":3,"total_credits":6}'
JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b"{}", b"{%s}"),
        (b"{ \n }", b"{%s \n }"),
        (b'{"a":1}', b'{"a":1,%s}'),
        (b'{"a":1}\n', b'{"a":1,%s}\n'),
        (b'{"a":{"b":{}}}', b'{"a":{"b":{}},%s}'),
        (b'{"a":"}{,}"}', b'{"a":"}{,}",%s}'),
        (b'{"a":"\\"}"}', b'{"a":"\\"}",%s}'),
        (b'{\n  "a": [\n    {}\n  ]\n}\r\n \t', b'{\n  "a": [\n    {}\n  ],%s\n}\r\n \t'),
        ('{"ä":"日本"}'.encode(), '{"ä":"日本",%s}'.encode()),
        (b'{"credit_usage_of":1}', b'{"credit_usage_of":1,%s}'),
        (b'{"a":"credit_usage"}', b'{"a":"credit_usage",%s}'),
        (b'{"a":{"credit_usage":1}}', b'{"a":{"credit_usage":1},%s}'),
    ],
)
def test_it_stands_before_the_last_brace(body: bytes, changed: bytes) -> None:
    got = with_usage(body, USAGE)
    assert got == changed % TEXT
    assert got is not None
    assert json.loads(got) == {**json.loads(body), "credit_usage": USAGE}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"[{}]", b" {}", b"\xef\xbb\xbf{}", b"null", b'"{}"', b"{", b"}", b'{"a":1', b"{} x",
        b'{"credit_usage":1}', b'{"a":1, "credit_usage" : {}}', b'{"cr\\u0065dit_usage":1}',
        b'{"\\u0063redit\\u005Fusage":null}', b'{"a":"credit_usage":1}',
    ],
)  # fmt: skip
def test_what_is_no_object_or_has_such_a_member_stays(body: bytes) -> None:
    assert with_usage(body, USAGE) is None


documents = st.dictionaries(
    st.text(max_size=8) | st.just("credit_usage"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['"credit_usage":', "}", "{", ",}"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(document=documents, indent=st.sampled_from([None, 0, 2]), ascii_=st.booleans(), end=st.sampled_from(["", "\n"]))
def test_any_object_gets_exactly_one_more_member(document: Any, indent: int | None, ascii_: bool, end: str) -> None:
    body = (json.dumps(document, indent=indent, ensure_ascii=ascii_) + end).encode("utf-8", "surrogatepass")
    got = with_usage(body, USAGE)
    if "credit_usage" in document:
        assert got is None
    else:
        assert got is not None
        assert got.replace(b"," + TEXT, b"", 1) == body or got.replace(TEXT, b"", 1) == body
        pairs = json.loads(got.decode("utf-8", "surrogatepass"), object_pairs_hook=list)
        assert len(pairs) == len(document) + 1
        assert pairs[-1][0] == "credit_usage"


@given(spelling=st.lists(st.booleans(), min_size=12, max_size=12), upper=st.booleans())
def test_every_spelling_of_the_name_is_known(spelling: list[bool], upper: bool) -> None:
    escaped = "".join(
        (f"\\u{ord(char):04X}" if upper else f"\\u{ord(char):04x}") if is_escaped else char
        for char, is_escaped in zip("credit_usage", spelling, strict=True)
    )
    body = f'{{"{escaped}": 1}}'.encode()
    assert list(json.loads(body)) == ["credit_usage"]
    assert has_member(body)


@pytest.mark.parametrize(
    ("method", "status", "headers", "expected"),
    [
        ("GET", 200, [JSON], True),
        ("POST", 201, [(b"Content-Type", b"Application/JSON; Charset=UTF-8")], True),
        ("GET", 200, [(b"content-type", b'application/json; charset="utf-8"')], True),
        ("GET", 200, [JSON, (b"content-encoding", b"identity")], True),
        ("GET", 200, [JSON, (b"content-length", b"1048576")], True),
        ("HEAD", 200, [JSON], False),
        ("GET", 199, [JSON], False),
        ("GET", 204, [JSON], False),
        ("GET", 205, [JSON], False),
        ("GET", 206, [JSON], False),
        ("GET", 304, [JSON], False),
        ("GET", 404, [JSON], False),
        ("GET", 500, [JSON], False),
        ("GET", 200, [], False),
        ("GET", 200, [JSON, JSON], False),
        ("GET", 200, [(b"content-type", b"application/problem+json")], False),
        ("GET", 200, [(b"content-type", b"application/x-ndjson")], False),
        ("GET", 200, [(b"content-type", b"text/event-stream")], False),
        ("GET", 200, [(b"content-type", b"text/html")], False),
        ("GET", 200, [(b"content-type", b"application/json; charset=latin-1")], False),
        ("GET", 200, [JSON, (b"content-encoding", b"gzip")], False),
        ("GET", 200, [JSON, (b"Content-Digest", b"sha-256=:x:")], False),
        ("GET", 200, [JSON, (b"transfer-encoding", b"chunked")], False),
        ("GET", 200, [JSON, (b"content-length", b"1048577")], False),
        ("GET", 200, [JSON, (b"content-length", b"abc")], False),
        ("GET", 200, [JSON, (b"content-length", b"5"), (b"content-length", b"6")], False),
    ],
)
def test_which_answers_may_get_it(method: str, status: int, headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert could_have_usage(method, status, headers, 1 << 20) is expected


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("true", True),
        ("TRUE", True),
        (" True ", True),
        ("false", False),
        ("1", False),
        ("", False),
        ("true, true", False),
    ],
)
def test_asking_is_true_in_any_case_and_nothing_else(value: str, asked: bool) -> None:
    assert is_asked({"credit-usage": value}) is asked
    assert not is_asked({})


def test_length_and_tag_are_set_and_nobody_may_keep_it() -> None:
    before = [JSON, (b"Content-Length", b"2"), (b"X-A", b"1"), (b"ETag", b'W/"x"'), (b"Cache-Control", b"public")]
    after = headers_with_usage(before, b"{%s}" % TEXT)
    assert after[0] == JSON
    assert after[1] == (b"Content-Length", b"%d" % (2 + len(TEXT)))
    assert after[2] == (b"X-A", b"1")
    assert after[3][0] == b"ETag"
    assert re.fullmatch(rb'"[0-9a-f]{32}"', after[3][1])
    assert after[4:] == [(b"cache-control", b"private, no-store"), (b"vary", b"credit-usage")]
    assert headers_with_usage(before, b"{}")[3] != after[3]


@pytest.mark.parametrize("value", [b"*", b"credit-usage", b"Origin, Credit-Usage"])
def test_vary_is_said_once(value: bytes) -> None:
    assert with_vary([(b"Vary", value)]) == [(b"Vary", value)]


def test_vary_is_added_to_others() -> None:
    assert with_vary([(b"vary", b"origin")]) == [(b"vary", b"origin"), (b"vary", b"credit-usage")]
