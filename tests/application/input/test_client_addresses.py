"""Who called, by the client field of a log and the list that proxies made."""

import pytest

from application.input.client_addresses import client_address, client_of, is_host_name, listed_addresses, logged_client


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:5678", "1.2.3.4"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[1.2.3.4]:443", None),
        ("1.2.3.4:port", None),
        ("1.2.3", None),
        ("example.com", None),
    ],
)
def test_an_address_with_or_without_a_port(text: str, address: str | None) -> None:
    assert client_address(text) == address


def test_lists_of_proxies() -> None:
    assert listed_addresses("unknown, 10.0.0.1, 203.0.113.7:80") == ["10.0.0.1", "203.0.113.7"]
    assert listed_addresses("203.0.113.7, and more") is None
    assert client_of(["10.0.0.1", "203.0.113.7", "198.51.100.1"]) == "203.0.113.7"
    assert client_of(["10.0.0.1", "192.168.0.1"]) == "10.0.0.1"


def test_host_names_are_no_addresses() -> None:
    assert all(map(is_host_name, ("-", "unix:", "host-1.example.com")))
    assert not any(map(is_host_name, ("1.2.3", "two words", "")))


def test_no_line_loses_its_address() -> None:
    assert logged_client("203.0.113.7", "198.51.100.1") == ("203.0.113.7", "203.0.113.7")
    assert logged_client("unix:", "203.0.113.7") == ("203.0.113.7", "203.0.113.7")
    assert logged_client("host.example.com", None) == ("host.example.com", None)
    for seen, forwarded in ((None, None), (None, "no list"), ("1.2.3", "203.0.113.7")):
        with pytest.raises(ValueError, match=r"who called|is no"):
            logged_client(seen, forwarded)
