"""Which addresses an outgoing request may reach: public ones, unless the operator allows more.

The check stands where a socket is made for one address, so neither a literal address in a URL nor a name that means another address
each time it is asked for gets past it.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKUPS = 32  # at once; a name server that does not answer holds one for long

# What is not for everybody on the internet (the IANA's special-purpose registries), and what cloud machines ask for their secrets.
_private = [
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own, in public clothes
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast and reserved
    )
]
# Only 2000::/3 is public at all: mapped, NAT64, unique local, link local and multicast addresses lie outside of it.
_public6 = IPv6Network("2000::/3")
_private6 = [
    IPv6Network(block)
    for block in (
        "2001::/23",  # Teredo, benchmarks, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4, which wraps an IPv4 address
        "3fff::/20",
    )
]


class PrivateAddress(OSError):
    """The address is not for everybody on the internet."""


def is_public(address: str) -> bool:
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv4Address):
        return not any(ip in block for block in _private)
    return ip in _public6 and not any(ip in block for block in _private6)


def public_socket(info: Any) -> socket.socket:
    """A socket for an address, as `getaddrinfo` describes it. Raises PrivateAddress."""
    if not is_public(info[4][0]):
        raise PrivateAddress
    return any_socket(info)


def any_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


class Resolver(AbstractResolver):
    """Looks names up in threads of its own: a name server that stalls must not hold up what else waits for a thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="resolver")
        self.running = 0

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host, port, family)
        return [
            ResolveResult(hostname=host, host=address[0], port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST)
            for kind, _, protocol, _, address in found
        ]

    def _look_up(self, host: str, port: int, family: int) -> list[Any]:
        self.running += 1
        try:
            return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        finally:
            self.running -= 1

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
