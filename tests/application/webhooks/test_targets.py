"""Where webhooks may be sent: public addresses over https, however they are spelled."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.webhooks.targets import Refused, TargetRules, checked, is_public, target_of

STRICT, HERE = TargetRules(), TargetRules(allow_http_to_this_machine=True)
PRIVATE = (
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fec0::1", "ff02::1", "3fff::1",
)  # fmt: skip
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "2606:4700::1111",
    "64:ff9b::808:808",
)


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_of_an_inner_network_is_public(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(Refused, match="private or reserved"):
        checked([address], target_of("https://example.com", STRICT), STRICT)
    with pytest.raises(Refused):
        checked(["8.8.8.8", address], target_of("https://example.com", STRICT), STRICT)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_ones_may_be_reached(address: str) -> None:
    assert checked([address, address], target_of("https://example.com", STRICT), STRICT) == [ip_address(address)]


@given(st.ip_addresses())
def test_what_python_knows_to_be_private_is_never_public(address: IPv4Address | IPv6Address) -> None:
    if (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
    ):
        nat64 = address.version == 6 and address in PUBLIC_BY_GATEWAY
        assert nat64 or not is_public(address)


PUBLIC_BY_GATEWAY = IPv6Network("64:ff9b::/96")


@pytest.mark.parametrize(
    "url", ["http://example.com/", "ftp://example.com/", "https://ann:word@example.com/", "https:///x", "https://[::1/"]
)
def test_other_schemes_users_and_no_host_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        target_of(url, STRICT)


def test_http_goes_to_this_machine_alone_and_only_where_it_is_allowed() -> None:
    target = target_of("http://localhost:8080/hook?x=1", HERE)
    assert (target.host, target.port, target.authority, target.path) == (
        "localhost",
        8080,
        "localhost:8080",
        "/hook?x=1",
    )
    assert checked(["127.0.0.1", "::1"], target, HERE) == [ip_address("127.0.0.1"), ip_address("::1")]
    with pytest.raises(Refused, match="this machine alone"):
        checked(["8.8.8.8"], target, HERE)
    with pytest.raises(Refused):
        checked(["127.0.0.1"], target_of("https://localhost", STRICT), STRICT)
    with pytest.raises(Refused):
        checked(["169.254.169.254"], target_of("https://example.com", HERE), HERE)


def test_a_host_without_an_address_or_with_an_unreadable_one_is_refused() -> None:
    for addresses in ([], ["example.com"]):
        with pytest.raises(Refused):
            checked(addresses, target_of("https://example.com", STRICT), STRICT)


def test_the_host_header_names_what_the_address_names() -> None:
    assert target_of("https://example.com", STRICT).authority == "example.com"
    assert target_of("https://[2606:4700::1111]:8443/a", STRICT).authority == "[2606:4700::1111]:8443"
    assert target_of("https://example.com", STRICT).path == "/"
