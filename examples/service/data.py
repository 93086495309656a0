"""What the example service sells: a handful of companies and a made-up list of people."""

COMPANIES = {"203.0.113.7": "example.com", "198.51.100.20": "example.org"}
DOMAINS = {
    "example.com": {"name": "Example Ltd", "employees": 120},
    "example.org": {"name": "Example Foundation", "employees": 8},
}
PEOPLE = [{"name": f"Person {number}", "title": "Engineer" if number % 3 else "Director"} for number in range(1, 121)]
ACCOUNTS = {"key-of-acme": "acme", "key-of-globex": "globex"}
"""The API keys of this service's own customers."""


class UpstreamDown(Exception):
    """The provider behind an endpoint does not answer."""


def company_of(ip: str) -> str | None:
    """Raises UpstreamDown for addresses of 192.0.2.0/24."""
    if ip.startswith("192.0.2."):
        raise UpstreamDown(ip)
    return COMPANIES.get(ip)
