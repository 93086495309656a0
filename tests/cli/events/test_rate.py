"""`creditmeter rate`: its outputs in order, its summary, its exit codes, and what memory it needs."""

import gzip
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.command import BOOK

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]

DAY = 86_400_000
JANUARY_2 = 1_767_312_000_000
BILLED = [
    "type", "event_id", "line", "account_id", "occurred_at", "endpoint", "channel", "outcome", "request_id", "actor",
    "user_id", "ip", "domain", "plan", "quantities", "attributes", "decision", "charge", "feature", "action",
    "credit_type", "price_version", "units", "unit_credits", "credits", "owner_event_id", "window_ends_at",
    "balance_after", "grants_used", "hold_id",
]  # fmt: skip


def event(event_id: str, **fields: Any) -> dict[str, Any]:
    plain = {
        "account_id": "a",
        "occurred_at": JANUARY_2,
        "endpoint": "/v1/ip-lookup",
        "channel": "api",
        "ip": "1.1.1.1",
    }
    return {"event_id": event_id} | plain | fields


def as_lines(*commands: Any) -> bytes:
    return b"".join(json.dumps(command).encode() + b"\n" for command in commands)


def outputs(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_kind_of_output_in_its_shape_and_order(run: Run, book: Path) -> None:
    lines = as_lines(
        {"type": "account", "update_id": "u", "account_id": "a", "on_empty": "allow", "alert_below": {"credit": 50},
         "at": JANUARY_2},
        {"type": "grant", "grant_id": "g", "account_id": "a", "credit_type": "credit", "credits": 60,
         "granted_at": JANUARY_2, "reason": "trial"},
        event("e1"),
        event("e1"),
        event("e2", occurred_at=JANUARY_2 + 1),
        event("e3", occurred_at=1.5),
        {"type": "refund", "refund_id": "r", "account_id": "a", "event_id": "e1", "reason": "",
         "requested_at": JANUARY_2},
    )  # fmt: skip
    result = run("rate", "--prices", book, stdin=lines)
    assert result.exit_code == 0
    printed = outputs(result)
    assert [output["type"] for output in printed] == [
        "grant", "billed", "alert", "repeated", "billed", "dead_letter", "refund",
    ]  # fmt: skip
    grant, billed, alert, repeated, duplicate, dead, refund = printed
    assert grant == {
        "type": "grant", "grant_id": "g", "account_id": "a", "credit_type": "credit", "status": "applied",
        "credits": 60, "expires_at": None, "balance_after": 60, "reason": "trial",
    }  # fmt: skip
    assert list(billed) == BILLED
    assert (billed["decision"], billed["credits"], billed["balance_after"]) == ("charged", 20, 40)
    assert billed["window_ends_at"] == JANUARY_2 + DAY
    assert alert == {
        "type": "alert", "account_id": "a", "kind": "below", "credit_type": "credit", "mark": 50, "balance": 40,
        "at": JANUARY_2,
    }  # fmt: skip
    assert repeated == {
        "type": "repeated", "command": "request", "account_id": "a", "id": "e1", "same_content": True,
        "first_line_number": 3,
    }  # fmt: skip
    assert (duplicate["decision"], duplicate["owner_event_id"]) == ("duplicate", "e1")
    assert dead == {"type": "dead_letter", "reason": "invalid_event", "field": "occurred_at", "line_number": 6}
    assert (refund["status"], refund["credits"], refund["balance_after"]) == ("refunded", 20, 60)


def hold(hold_id: str, credits_: int, **fields: Any) -> dict[str, Any]:
    plain = {"account_id": "a", "credits": {"credit": credits_}, "held_at": JANUARY_2, "expires_at": JANUARY_2 + 10}
    return {"type": "hold", "hold_id": hold_id, **plain, **fields}


def test_holds_come_in_the_order_in_which_things_happen(run: Run, book: Path) -> None:
    """Grants expired, holds expired, lines, the hold's change, what expires on arrival, alerts."""
    settings = {"type": "account", "update_id": "u", "account_id": "a", "on_empty": "reject",
                "alert_below": {"credit": 50}, "at": JANUARY_2}  # fmt: skip
    grant = {"type": "grant", "account_id": "a", "credit_type": "credit", "granted_at": JANUARY_2}
    lines = as_lines(
        settings,
        grant | {"grant_id": "g", "credits": 60},
        grant | {"grant_id": "short", "credits": 5, "expires_at": JANUARY_2 + 10},
        hold("h1", 30, expires_at="2026-02-01T00:00:00Z"),
        hold("h2", 10),
        hold("h3", 26, reason="too much"),
        event("e1", occurred_at=JANUARY_2 + 10, hold_id="h1"),
        hold("h4", 5, recorded_at=JANUARY_2 + 20),
        hold("h1", 30, expires_at="2026-02-01T00:00:00Z"),
        hold("h1", 31),
        hold("h5", 0),
    )
    result = run("rate", "--prices", book, stdin=lines)
    printed = [
        (output["type"], output.get("status") or output.get("kind") or output.get("field"))
        for output in outputs(result)
    ]
    assert printed == [
        ("grant", "applied"), ("grant", "applied"), ("hold", "held"), ("hold", "held"), ("hold", "rejected"),
        ("grant", "expired"), ("hold", "expired"), ("billed", None), ("hold", "settled"), ("alert", "below"),
        ("hold", "held"), ("hold", "expired"), ("repeated", None), ("repeated", None), ("dead_letter", "credits"),
    ]  # fmt: skip
    assert outputs(result)[4] == {
        "type": "hold", "hold_id": "h3", "account_id": "a", "status": "rejected", "credits": {"credit": 26},
        "charged": {}, "available_after": {"credit": 25}, "event_id": None, "reject_reason": "insufficient_credits",
        "expires_at": JANUARY_2 + 10, "at": JANUARY_2, "reason": "too much",
    }  # fmt: skip
    repeats = [output for output in outputs(result) if output["type"] == "repeated"]
    assert [(repeat["id"], repeat["same_content"], repeat["first_line_number"]) for repeat in repeats] == [
        ("h1", True, 4), ("h1", False, 4),
    ]  # fmt: skip
    assert "repeated with other content: 1" in result.stderr
    assert "holds: 2 expired, 3 held, 1 rejected, 1 settled" in result.stderr


def test_the_same_content_is_that_of_the_command_and_not_of_its_line(run: Run, book: Path) -> None:
    first = event("e1", ip="192.0.2.9")
    backwards = dict(reversed(first.items()))
    plain = first | {"user_id": None, "quantities": {}, "outcome": "processed"}
    again = [first, backwards, plain, first | {"ip": "192.0.2.8"}]
    result = run("rate", "--prices", book, stdin=as_lines(first, *again))
    repeats = [output["same_content"] for output in outputs(result) if output["type"] == "repeated"]
    assert repeats == [True, True, True, False]


def test_dead_letters_name_their_line(run: Run, book: Path) -> None:
    bad = [b"nope", b"", b'{"type": "x"}', b'{"event_id": ""}', b"[]"]
    result = run("rate", "--prices", book, stdin=b"\n".join([*bad, b""]))
    assert outputs(result) == [
        {"type": "dead_letter", "reason": "undecodable", "field": None, "line_number": 1},
        {"type": "dead_letter", "reason": "invalid_event", "field": "type", "line_number": 3},
        {"type": "dead_letter", "reason": "invalid_event", "field": "event_id", "line_number": 4},
        {"type": "dead_letter", "reason": "undecodable", "field": None, "line_number": 5},
    ]
    assert result.exit_code == 0
    assert "dead letters: 2 invalid_event, 2 undecodable" in result.stderr


def test_strict_fails_on_dead_letters_and_prints_all_the_same(run: Run, book: Path) -> None:
    lines = as_lines({"type": "x"}, event("e"))
    result = run("rate", "--prices", book, "--strict", stdin=lines)
    assert result.exit_code == 1
    assert len(outputs(result)) == 2
    assert run("rate", "--prices", book, "--strict", stdin=as_lines(event("e"))).exit_code == 0


def test_the_summary_tells_what_was_charged(run: Run, book: Path) -> None:
    result = run("rate", "--prices", book, stdin=as_lines(event("e1"), event("e2"), event("e3", ip="2.2.2.2")))
    assert "3 request" in result.stderr
    assert "lines by decision: 2 charged, 1 duplicate" in result.stderr
    assert "charged: 40 credit" in result.stderr


def test_the_summary_names_the_first_line_of_each_kind_of_dead_letter(run: Run, book: Path) -> None:
    """One event far ahead makes the account's later ones too late, since recorded_at is its own time."""
    lines = as_lines(
        event("e1"), event("e2", occurred_at=JANUARY_2 + 1_800 * DAY), event("e3"), event("e4"),
        event("e5", account_id="b"), event("e6", ip="x"), event("e7", ip="x"), {"type": "x"},
    )  # fmt: skip
    said = run("rate", "--prices", book, stdin=lines).stderr
    assert "dead letters: 3 invalid_event, 2 too_late" in said
    assert (
        "  2 too_late: first at line 3, account a (2026-01-02T00:00:00Z): too late since line 2 (2030-12-07T00:00:00Z)"
        in said.splitlines()
    )
    assert "  where that line's time is wrong: --recorded-at TIME sets it aside (in_future), as the stream does" in said
    assert "  2 invalid_event (ip): first at line 6, account a" in said.splitlines()
    assert "  1 invalid_event (type): first at line 8" in said.splitlines()


def test_recorded_at_judges_as_the_stream_would(run: Run, book: Path) -> None:
    lines = as_lines(event("e1"), event("e2", occurred_at=JANUARY_2 + 1_800 * DAY), event("e3", ip="2.2.2.2"))
    for at in ("2026-01-02T00:01:00Z", "2026-01-03"):
        said = run("rate", "--prices", book, "--recorded-at", at, stdin=lines).stderr
        assert "charged: 40 credit" in said
        assert "  1 in_future: first at line 2, account a (2030-12-07T00:00:00Z), recorded at 2026-01-0" in said
        assert "--recorded-at" not in said
    own = as_lines(event("e1"), event("e2", occurred_at=JANUARY_2 + 1_800 * DAY, recorded_at=JANUARY_2 + 1_800 * DAY))
    assert "2 request" in run("rate", "--prices", book, "--recorded-at", "2026-01-03", stdin=own).stderr
    assert "in_future" not in run("rate", "--prices", book, "--recorded-at", "2026-01-03", stdin=own).stderr
    assert "in_future" not in run("rate", "--prices", book, "--recorded-at", "now", stdin=as_lines(event("e1"))).stderr
    assert run("rate", "--prices", book, "--recorded-at", "soon", stdin=b"").exit_code == 2


def test_what_nothing_prices_is_said_with_its_first_line(run: Run, book: Path) -> None:
    lines = as_lines(event("e1"), event("e2", endpoint="/other"), event("e3", ip=None))
    said = run("rate", "--prices", book, stdin=lines).stderr
    assert "  unpriced (no charge applies): first at line 2, endpoint /other" in said
    assert (
        "  missing_subject (a unique subject is missing): first at line 3, endpoint /v1/ip-lookup, charge ip-lookup"
        in said
    )


def test_a_last_line_without_its_end(run: Run, book: Path) -> None:
    """A whole object counts, as `printf` makes it: nothing can follow that would change it. A part of one is said."""
    text = as_lines(event("e1"), event("e2", ip="2.2.2.2")).decode()
    assert "charged: 40 credit" in run("rate", "--prices", book, "--strict", stdin=text[:-1]).stderr
    cut = run("rate", "--prices", book, stdin=text[:-2])
    assert "charged: 20 credit" in cut.stderr
    assert "line 2 has no end yet and is no whole object: it was left out" in cut.stderr
    assert (cut.exit_code, len(outputs(cut))) == (0, 1)
    assert run("rate", "--prices", book, "--strict", stdin=text[:-2]).exit_code == 1


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_nothing_of_a_json_array_is_billed(run: Run, book: Path, indent: int | None) -> None:
    text = json.dumps([event("e1"), event("e2", ip="2.2.2.2")], indent=indent)
    for whole in (text, text + "\n", "\ufeff" + text, text.replace("\n", "\r\n")):
        result = run("rate", "--prices", book, stdin=whole)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "is a JSON array" in result.stderr
    assert "UTF-16" in run("rate", "--prices", book, stdin=text.encode("utf-16")).stderr


@pytest.mark.parametrize("text", ["größe ✓", "\u2028", "\U0001f600", 'a"b\\c'])
def test_text_comes_out_as_it_went_in(run: Run, book: Path, text: str) -> None:
    result = run("rate", "--prices", book, stdin=as_lines(event("e", attributes={"x": text})))
    assert [json.loads(line)["attributes"] for line in result.stdout_bytes.split(b"\n") if line] == [{"x": text}]


def test_half_a_surrogate_pair_in_a_name_is_told_and_not_choked_on(run: Run, book: Path) -> None:
    result = run("rate", "--prices", book, stdin=b'{"event_id": "\\ud800"}\n' + as_lines(event("e", **{"x\ud800": 1})))
    assert [output["field"] for output in outputs(result)] == ["event_id", "x\ud800"]


def test_gzip_and_byte_order_mark_and_carriage_returns(run: Run, book: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + as_lines(event("e1"), event("e2")).replace(b"\n", b"\r\n")))
    assert [output["decision"] for output in outputs(run("rate", "--prices", book, path))] == ["charged", "duplicate"]


def test_damaged_gzip_fails(run: Run, book: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(as_lines(*(event(f"e{number}") for number in range(1_000))))[:-200])
    result = run("rate", "--prices", book, path)
    assert result.exit_code == 1
    assert "cannot be read after line" in result.stderr


def test_wrong_usage(run: Run, book: Path, tmp_path: Path) -> None:
    assert run("rate").exit_code == 2
    assert run("rate", "--prices", tmp_path / "nowhere.yaml").exit_code == 2
    assert run("rate", "--prices", book, tmp_path / "nowhere.ndjson").exit_code == 2
    bad = tmp_path / "bad.yaml"
    bad.write_text(BOOK.replace("credits: 20", "credits: -1").replace("credits: 1\n", "credits: x\n"))
    result = run("rate", "--prices", bad, stdin=b"")
    assert result.exit_code == 2
    assert result.stderr.count("bad.yaml:") == 2


def test_a_reader_that_leaves_ends_it_quietly(process: Start, book: Path) -> None:
    running = process("rate", "--prices", book, "-")
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    try:
        running.stdin.write(as_lines(*(event(f"e{number}") for number in range(2_000))))
        running.stdin.close()
    except BrokenPipeError:
        pass
    assert running.wait(timeout=20) == 1
    assert running.stderr.read() == b""


def test_ctrl_c_ends_it_cleanly(process: Start, book: Path) -> None:
    running = process("rate", "--prices", book, "-")
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(as_lines(*(event(f"e{number}") for number in range(500))))
    running.stdin.flush()
    assert running.stderr is not None
    first = running.stdout.readline()
    running.send_signal(signal.SIGINT)
    out, err = first + running.stdout.read(), running.stderr.read()
    assert running.wait(timeout=20) == 1
    assert out.endswith(b"}\n")
    assert b"Stopped." in err
    assert b"Traceback" not in err


def test_it_answers_while_the_input_is_still_open(process: Start, book: Path) -> None:
    """Outputs of a long stream come as it goes on, not at its end."""
    running = process("rate", "--prices", book, "-")
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(as_lines(*(event(f"e{number}") for number in range(500))))
    running.stdin.flush()
    assert json.loads(running.stdout.readline())["event_id"] == "e0"
    running.stdin.close()
    assert len(running.stdout.readlines()) == 499
    assert running.wait(timeout=20) == 0
