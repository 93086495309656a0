"""Addresses and domains in the one spelling in which they are compared."""

# ruff: noqa: RUF001 - letters that look alike are what it is about
import contextlib
import ipaddress
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metering.subjects import canonical_domain, canonical_ip
from tests.metering import oracle_fields

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
        ("xn--mnchen-3ya.xn--p1ai", "xn--mnchen-3ya.xn--p1ai"),
        ("mu\u0308nchen.de", "xn--mnchen-3ya.de"),  # composed
        ("straße.de", "xn--strae-oqa.de"),  # what a browser opens, and another company than strasse.de
        ("STRAẞE.de", "xn--strae-oqa.de"),
        ("strasse.de", "strasse.de"),
        ("XN--STRAE-OQA.DE", "xn--strae-oqa.de"),
        ("www.straße.de.", "xn--strae-oqa.de"),
        ("νίκος.gr", "xn--kxawhkp.gr"),  # the final sigma stays
        ("ΝΊΚΟΣ.gr", "xn--kxawhku.gr"),
        ("νίκοσ.gr", "xn--kxawhku.gr"),
        ("İstanbul.com", "xn--istanbul-o0e.com"),
        ("ıstanbul.com", "xn--stanbul-qfb.com"),
        ("a\u00adb.com", "ab.com"),  # soft hyphen
        ("a\u200bb\ufeff.com", "ab.com"),  # zero width
        ("a\u200cb.com", "xn--ab-j1t.com"),  # the joiners mean something in some scripts, and stay
        ("a\u200db.com", "xn--ab-m1t.com"),
        ("نامه\u200cای.com", "xn--mgba3gch31f060k.com"),
        ("نامهای.com", "xn--mgba3gch31f.com"),
        ("אבג.com", "xn--4dbcd.com"),
        ("אa.com", "xn--a-zhc.com"),  # mixed directions: no registry takes it, and nothing else is spelled so
        ("😀.com", "xn--e28h.com"),
        ("xn--e28h.com", "xn--e28h.com"),
        ("👩\u200d💻.com", "xn--1ug1855pcha.com"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("ｗｗｗ．ａｃｍｅ．ｃｏｍ．", "acme.com"),
        ("acme｡com", "acme.com"),
        ("ｘｎ--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("½.com", "xn--12-c6t.com"),
        ("ß_ß.de", "xn--_-pfab.de"),
        ("١٢٣.com", "xn--9hbcd.com"),
        ("acme.١٢٣", "acme.xn--9hbcd"),  # all digits, but none of those that addresses are made of
        ("ab--cd.com", "ab--cd.com"),
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
    ["xn--a.com", "xn--.com", "xn--acme-.com", "xn--99999999999.com",  # no Punycode, or of plain letters
     "xn---abc.com", "xn--MNCHEN-3YA-.de", "xn--mnchen-3.de",
     "xn--mnchen-psa.de", "xn--munchen-gie.de",  # Punycode of letters that are mapped to others
     "xn--iñvalid.com", "xn--ß.com", "xn--xn--a-ema.com",
     "acme.１２３", "٣.٣.٣.123", "acme\u2024com", "acme\uff0fcom.de", "a＠acme.com", "\u2100.com", "é\u2100.com",
     "acme.com\u3002\u3002", "\u3002acme.com", "\u00ad.com", "\u200b", "a\ufffdb.com", "a\u0378b.com", "\ufdd0.com",
     "-é-", "é" * 250 + ".com", "ﷺ.com",
     "", ".", "com", "com.", "acme", ".acme.com", "acme..com", "acme.com..", "-acme.com", "acme-.com", "acme.-com",
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


# -- one company, whichever way its name is written --------------------------------------------------------------------

LETTERS = st.sampled_from("abz09-ßẞςσΣüÜéİıИ日本한कש\u0627٣😀½ﬁ\u00ad\u200b\u200c\u200d\u0308\u0301ａ。．｡._xnXN")
WRITTEN = st.text(LETTERS, min_size=1, max_size=12).map(lambda text: f"{text}.example")


def label_as_shown(label: str) -> str:
    return label[4:].encode().decode("punycode") if label.startswith("xn--") else label


@given(WRITTEN | st.text(max_size=20).map(lambda text: f"{text}.com"))
@example("xn--\u0130.com")
@example("straße.de")
def test_a_canonical_domain_is_its_own_and_that_of_its_name_in_letters(text: str) -> None:
    domain = canonical_domain(text)
    if domain is None:
        return
    for same in (domain, domain.upper(), f"{domain}.", f"www.{domain}"):
        assert canonical_domain(same) in {domain, domain.removeprefix("www.")}
    shown = ".".join(map(label_as_shown, domain.split(".")))
    for same in (shown, shown.upper(), shown.replace(".", "\u3002"), unicodedata.normalize("NFD", shown)):
        if "ß" not in shown and "ς" not in shown and "ı" not in shown:  # Python's upper case of these is that of others
            assert canonical_domain(same) in {domain, domain.removeprefix("www.")}
    assert canonical_domain(shown) in {domain, domain.removeprefix("www.")}


@given(
    WRITTEN
    | st.from_regex(r"(xn--[a-z0-9-]{1,12}\.|[ßa-zÀ-ÿ0-9_-]{1,6}\.){1,3}[a-zÀ-ÿ]{1,3}\.?", fullmatch=True)
    | st.text()
)
def test_the_naive_reading_of_the_rules_agrees(text: str) -> None:
    try:
        naive = oracle_fields.canonical_domain(text)
    except ValueError:
        naive = None
    assert canonical_domain(text) == naive


@given(st.from_regex(r"xn--[a-z0-9-]{1,20}\.com", fullmatch=True))
@example("xn--strae-oqa.com")
@example("xn---abc.com")
def test_punycode_is_taken_exactly_where_its_letters_come_back_as_it(text: str) -> None:
    shown = ""
    with contextlib.suppress(UnicodeError):
        shown = label_as_shown(text.removesuffix(".com"))
    is_right = bool(shown) and not shown.isascii() and canonical_domain(f"{shown}.com") == text
    assert canonical_domain(text) == (text if is_right else None)
