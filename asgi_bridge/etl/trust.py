# Whom an ETL lets see its secret and its token.
#
# A request names the hosts that its object goes to, and requests come from anyone who reaches the
# pod. What is decided here is which hosts are likely to be nodes of the same cluster.
#
# Rule 1: the target's own host always is.
# Rule 2: AIS_ETL_TRUSTED_HOSTS, where it is set, names all the others.
# Rule 3: else they are those whose address or name is like the target's, see `like_addresses` and
#         `like_names`; and those whose addresses are, once names have been looked up.
# Rule 4: an address at which a cloud hands out credentials is never trusted, unless
#         AIS_ETL_TRUSTED_HOSTS names that very address.
# Rule 5: a name that anyone on the internet might own is not looked up: who owns it decides what
#         it leads to, and may decide anew between our question and our connection.
"""Trust: which hosts may see the ETL's secret and the bearer token."""

import ipaddress
import socket
import time
from functools import partial
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# The address blocks that no router of the internet carries. A cluster's nodes have addresses in
# them, or its pods do; often nodes in one and pods in another.
_PRIVATE: Final = tuple(
    ipaddress.ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
# Where clouds hand out credentials: link-local addresses, and those that AWS, Alibaba, Azure and
# Oracle have beside them.
_METADATA: Final = tuple(
    ipaddress.ip_network(block)
    for block in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",
        "fd20:ce::/32",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
    )
)
_METADATA_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "instance-data"})
# What hosts of one network share of a public address: a hoster gives networks of this size.
_PUBLIC_PREFIX: Final = {4: 24, 6: 64}

# Last labels of names that anyone may own: those of countries, which have two letters, and the
# most common others. A cluster's own names end in none of them.
_PUBLIC_LABELS: Final = frozenset(
    "academy agency ai aero app art asia bar best bid biz blog bot build business buzz center chat "
    "city click cloud club codes com company computer cool coop data day design dev digital direct "
    "domains download earth edu email energy engineering example expert express finance fit fun "
    "fund fyi game games global gov group guru help host hosting house icu inc info ink int "
    "international invalid jobs land law life link live loan lol love ltd market marketing mba "
    "media men menu mil mobi moe money monster museum name net network new news ninja one online "
    "org page party photo photos plus post press pro productions pub quest racing realty red rest "
    "review rip rocks run sale school science search services sh shop show site social software "
    "solutions space store stream studio style support surf systems team tech technology test tips "
    "today tools top town toys trade training travel uno vip wang watch web website wiki win work "
    "works world wtf xxx xyz zip zone".split()
)
_SECOND_LEVEL: Final = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})

_LOOKUP_TIMEOUT: Final = 5.0
_REMEMBERED: Final = 30.0  # seconds for which a look-up stands
_MOST_REMEMBERED: Final = 1024


class Trust:
    """Decides which hosts are trusted.

    Args:
        target_url: of the target.
        named: host names, `*.suffixes` and address blocks; none for rule 3.

    Raises:
        ValueError: an address block is none.
    """

    def __init__(self, target_url: str, named: tuple[str, ...]) -> None:
        self._target = host_of(target_url)
        self._target_address = address_of(self._target)
        self._named = named
        self._blocks = [ipaddress.ip_network(each) for each in named if "/" in each]
        self._found: dict[str, tuple[float, tuple[Address, ...]]] = {}

    def knows(self, url: str) -> bool:
        """Whether a URL's host is trusted, as far as that can be said without a look-up."""
        host = host_of(url)
        if host == self._target:
            return True
        address = address_of(host)
        if self._named:
            return self._names(host, address)
        if address is not None and self._target_address is not None:
            return like_addresses(address, self._target_address)
        if address is None and self._target_address is None:
            return like_names(host, self._target)
        name, other = (self._target, address) if address is not None else (host, None)
        other = other or self._target_address
        return name == "localhost" and other is not None and other.is_loopback

    async def finds(self, url: str) -> bool:
        """`knows`, with names looked up: a host whose addresses are all like the target's."""
        if self._named:
            return self.knows(url)
        host = host_of(url)
        if address_of(host) is None and not is_internal(host):
            return self.knows(url)
        if host in _METADATA_NAMES:
            return False
        theirs, ours = await self._addresses(host), await self._addresses(self._target)
        if not theirs or not ours:
            return self.knows(url)
        return all(any(a == b or like_addresses(a, b) for b in ours) for a in theirs) and not any(
            is_metadata(each) for each in theirs
        )

    def _names(self, host: str, address: Address | None) -> bool:
        if host in self._named:
            return True
        if address is not None:
            return not is_metadata(address) and any(address in each for each in self._blocks)
        return any(each.startswith("*.") and host.endswith(each[1:]) for each in self._named)

    async def _addresses(self, host: str) -> tuple[Address, ...]:
        address = address_of(host)
        if address is not None:
            return (address,)
        now = time.monotonic()
        known = self._found.get(host)
        if known is not None and now - known[0] < _REMEMBERED:
            return known[1]
        found: tuple[Address, ...] = ()
        with anyio.move_on_after(_LOOKUP_TIMEOUT):
            found = await anyio.to_thread.run_sync(partial(look_up, host), abandon_on_cancel=True)
        if len(self._found) >= _MOST_REMEMBERED:
            self._found.clear()
        self._found[host] = (now, found)
        return found


def like_addresses(one: Address, other: Address) -> bool:
    """Whether two addresses may be those of one cluster's nodes.

    Both are loopback; or both private; or both public, and in one network of a hoster's.
    """
    if is_metadata(one) or is_metadata(other):
        return False
    if one.is_loopback or other.is_loopback:
        return one.is_loopback and other.is_loopback
    private = [any(each in block for block in _PRIVATE) for each in (one, other)]
    if any(private):
        return all(private)
    if one.version != other.version or not (one.is_global and other.is_global):
        return False
    return other in ipaddress.ip_network((one, _PUBLIC_PREFIX[one.version]), strict=False)


def like_names(one: str, other: str) -> bool:
    """Whether two names may be those of one cluster's nodes.

    Both have one label, which leads nowhere outside of a network of one's own; or they differ in
    their first label only, and what follows is nothing that anyone may own a name below.
    """
    if one in _METADATA_NAMES or "localhost" in (one, other):
        return False
    parent = one.partition(".")[2]
    if parent != other.partition(".")[2]:
        return False
    return not parent or not is_open(parent)


def is_open(parent: str) -> bool:
    """Whether anyone may own a name right below a domain: it is a top-level one, or `co.uk`."""
    labels = parent.split(".")
    if len(labels) == 1:
        return is_public_label(labels[0])
    return len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SECOND_LEVEL


def is_internal(host: str) -> bool:
    """Whether a name is none of the internet's."""
    return not is_public_label(host.rpartition(".")[2]) or "." not in host


def is_public_label(label: str) -> bool:
    return len(label) == 2 or label in _PUBLIC_LABELS or label.startswith("xn--")


def is_metadata(address: Address) -> bool:
    return any(address in block for block in _METADATA)


def look_up(host: str) -> tuple[Address, ...]:
    """The addresses of a name, none where it has none; blocking."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    addresses = (address_of(str(entry[4][0])) for entry in found)
    return tuple({each for each in addresses if each is not None})


def host_of(url: str) -> str:
    """A URL's host, without the dot that may end a name."""
    return (urlsplit(url).hostname or "").removesuffix(".")


def address_of(host: str) -> Address | None:
    """The address that a host is, None for a name; one of IPv4 in IPv6 is the former."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address
