"""Addresses and domains in the one spelling in which they are compared."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metering.subjects import canonical_domain, canonical_ip

LABEL = "a" * 63


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::", "::"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("::203.0.113.7", "::cb00:7107"),  # an IPv4-compatible one is an address of its own
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("FE80:0::1%Eth0", "fe80::1%Eth0"),
    ],
)
def test_an_address_has_one_spelling(text: str, canonical: str) -> None:
    assert canonical_ip(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", " ", "203.0.113", "203.0.113.256", "203.0.113.07", "203.0.113.7 ", "203.0.113.7\n", "203.0.113.7/32",
     "1.2.3.4.5", "[::1]", "::1::", "12345::", "fe80::1%", "٣.٣.٣.٣", "localhost", "\0", "\ud800", "::1%\ud800",
     "1" * 300, "fe80::1%" + "x" * 300],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert canonical_ip(text) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("acme.com", "acme.com"),
        ("ACME.Com", "acme.com"),
        ("acme.com.", "acme.com"),
        ("www.acme.com", "acme.com"),
        ("WWW.acme.com.", "acme.com"),
        ("www.www.acme.com", "www.acme.com"),  # one is dropped
        ("www.com", "www.com"),  # two labels remain
        ("www2.acme.com", "www2.acme.com"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("MÜNCHEN.de", "xn--mnchen-3ya.de"),
        ("www.münchen.de", "xn--mnchen-3ya.de"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("straße.de", "strasse.de"),  # IDNA 2003
        ("acme。com。", "acme.com"),
        ("\uff41\uff43\uff4d\uff45.com", "acme.com"),  # full width
        ("_dmarc.acme.com", "_dmarc.acme.com"),
        ("a_.b_", "a_.b_"),
        ("a--b.com", "a--b.com"),
        ("1.2.3.4a", "1.2.3.4a"),
        ("4.com", "4.com"),
        (f"{LABEL}.com", f"{LABEL}.com"),
        (".".join([LABEL] * 3 + ["a" * 61]), ".".join([LABEL] * 3 + ["a" * 61])),
        (".".join([LABEL] * 3 + ["a" * 61]) + ".", ".".join([LABEL] * 3 + ["a" * 61])),
    ],
)
def test_a_domain_has_one_spelling(text: str, canonical: str) -> None:
    assert canonical_domain(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", ".", "com", "com.", "acme", ".acme.com", "acme..com", "acme.com..", "-acme.com", "acme-.com", "acme.-com",
     "a b.com", "acme.com\n", "acme.com/", "acme.com:80", "a@acme.com", "*.acme.com", "203.0.113.7", "acme.123",
     "www.123", "\0.com", "a\0.com", "\ud800.com", "é" * 64 + ".com", f"{LABEL}a.com",
     ".".join([LABEL] * 3 + ["a" * 62]), "a." * 200 + "com"],
)  # fmt: skip
def test_what_is_no_domain(text: str) -> None:
    assert canonical_domain(text) is None


@given(st.ip_addresses())
def test_every_address_is_its_own_canonical_spelling_but_mapped_ones(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    plain = getattr(address, "ipv4_mapped", None) or address
    assert canonical_ip(str(address)) == canonical_ip(address.exploded.upper()) == str(plain)


@given(st.from_regex(r"[a-z0-9_]{1,63}(\.[a-z0-9_-]{1,63}){0,4}\.?", fullmatch=True))
@example("www.acme.com")
def test_the_quick_way_and_the_long_way_agree(text: str) -> None:
    # The dotless variant of a trailing dot, and upper case, always take the long way.
    assert canonical_domain(text) == canonical_domain(text.upper())
    if not text.endswith("."):
        assert canonical_domain(text) == canonical_domain(f"{text}.")


@given(st.text(alphabet=st.characters(categories=None)))  # surrogates too
@example("😀.com")
@example("İ.com")
@example("xn--\u0130.com")
@example("xn--a-\u00e9.com")
@example("\ud800.\udfff")
@example("\0")
@example("a\u2024b.com")
@example("\u2100.com")
def test_no_text_raises_and_what_comes_out_is_plain(text: str) -> None:
    for suffix in ("", ".com", "%eth0"):
        canonical_ip(text + suffix)
        canonical_ip("fe80::1%" + text)
        domain = canonical_domain(text + suffix)
        if domain is not None:
            assert domain.isascii()
            assert domain == domain.lower()
            assert canonical_domain(domain) in {domain, domain.removeprefix("www.")}
