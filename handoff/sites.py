"""Web sites by their origin: scheme, host and port, written as browsers write them.

`https://*.example.org` stands for every site below example.org, and not for example.org itself, as in a page's policy.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote

from pydantic import ValidationError
from pydantic_core import Url

MOST = 50  # of one widget
LONGEST = 300  # characters of one line
PORTS = {"http": 80, "https": 443}

# What may go into a header. A policy knows no IPv6 addresses, so a site has none either.
_origin = re.compile(r"https?://(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[0-9]{1,5})?")


class NoSite(ValueError):
    """Says in words what is wrong with a line."""


def origin_of(line: str) -> str:
    """The origin that a line names: lower case, in punycode, without the scheme's own port. Raises NoSite."""
    scheme, separator, rest = line.strip().partition("://")
    if not separator or scheme.lower() not in PORTS:
        raise NoSite("begin with https:// or http://")
    if len(line) > LONGEST or not rest.isprintable() or " " in rest or unquote(rest) != rest:
        raise NoSite("that is no address of a site")
    starred = rest.startswith("*.")
    try:
        url = Url(f"{scheme}://{rest.removeprefix('*.')}")
    except (ValidationError, ValueError):
        raise NoSite("that is no address of a site") from None
    if url.username or url.password or "@" in rest:
        raise NoSite("leave out the name and password")
    origin = _written(url, starred)
    if not _origin.fullmatch(origin):
        raise NoSite("that is no name of a site: letters, digits, dots and hyphens, or an IPv4 address")
    if starred and (url.host is None or "." not in url.host or url.host.replace(".", "").isdigit()):
        raise NoSite("after *. write a domain, as in https://*.example.org")
    if (url.path or "/") != "/" or url.query is not None or url.fragment is not None:
        raise NoSite(f"leave out what comes after {origin}")
    return origin


def _written(url: Url, starred: bool) -> str:
    port = "" if url.port in (None, PORTS[url.scheme]) else f":{url.port}"
    return f"{url.scheme}://{'*.' if starred else ''}{url.host}{port}"


def origins_of(text: str) -> list[str]:
    """The origins that lines name, each once and in their order. Raises NoSite with a line of words for each wrong one."""
    found: dict[str, None] = {}
    faults = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found[origin_of(line)] = None
            except NoSite as fault:
                faults.append(f"Line {number}: {fault}.")
    if len(found) > MOST:
        faults.append(f"At most {MOST} sites, please; these are {len(found)}.")
    if faults:
        raise NoSite("\n".join(faults[:MOST]))
    return list(found)


def seen_in(header: str | None) -> str | None:
    """The origin in a header that a browser sent: the sender's word, so only a well-formed origin is taken from it."""
    try:
        found = Url((header or "")[:2_000])
        return origin_of(f"{found.scheme}://{found.host}:{found.port}")
    except (ValidationError, ValueError):
        return None


def allowed(sites: Iterable[str], origin: str) -> bool:
    """Whether one of the sites is the origin, or stands for it."""
    return any(origin == site or _stands_for(site, origin) for site in sites)


def _stands_for(site: str, origin: str) -> bool:
    scheme, star, domain = site.partition("://*.")
    if not star or not _origin.fullmatch(origin):
        return False
    return origin.startswith(f"{scheme}://") and origin.removeprefix(f"{scheme}://").endswith(f".{domain}")


def policy(sites: Iterable[str]) -> str:
    """The sites as a policy's frame-ancestors; nothing but origins gets into it, whatever is stored."""
    return " ".join(["'self'", *filter(_is_origin, sites)])


def _is_origin(text: str) -> bool:
    try:
        return origin_of(text) == text
    except NoSite:
        return False
