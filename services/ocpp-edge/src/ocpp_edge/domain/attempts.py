"""How often somebody may try a password: so often a minute under one identity, and under so many from one address.

At the limit nobody there is listened to until the oldest failure is a minute old. Attempts that were refused unheard
are no failures. An address counts identities, each once: one charge point with a wrong password keeps no other one out.
So from one address at most 25 tries a minute are looked at. An identity that fails from many addresses is not kept out,
or anybody could keep it out: it is told.
Who has come in from an address before is measured by its own failures only, so that others behind the same NAT do not
keep it out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from functools import lru_cache

WINDOW_MS = 60_000
FAILURES_MAX = 5
PAIRS_MAX, ADDRESSES_MAX, TRUSTED_MAX = 4_096, 1_024, 10_000
"""Remembered; beyond, the oldest is forgotten."""
ADDRESSES_EACH_MAX = 4
IPV6_PREFIX = 64
"""What one customer of a network is given at least: all of it counts as one address."""


class Attempts:
    def __init__(self) -> None:
        self._pairs = _Failures(PAIRS_MAX)
        self._addresses: dict[str, dict[str, int]] = {}
        """When each identity failed last, of the newest."""
        self._identities: dict[str, dict[str, int]] = {}
        """And from where each of them did."""
        self._trusted: dict[str, tuple[str, ...]] = {}
        """Where each came in from last."""

    def wait_ms(self, address: str, identity: str, now_ms: int) -> int:
        """How long nothing of it is looked at; 0: not at all."""
        own_ms = self.own_wait_ms(address, identity, now_ms)
        return max(own_ms, self.address_wait_ms(address, identity, now_ms))

    def address_wait_ms(self, address: str, identity: str, now_ms: int) -> int:
        """Because of others there."""
        network = network_of(address)
        if network in self._trusted.get(identity, ()):
            return 0
        found = [at for at in self._addresses.get(network, {}).values() if now_ms - at < WINDOW_MS]
        return min(found) + WINDOW_MS - now_ms if len(found) >= FAILURES_MAX else 0

    def own_wait_ms(self, address: str, identity: str, now_ms: int) -> int:
        """Because of what failed there under this identity."""
        return self._pairs.wait_ms((network_of(address), identity), now_ms)

    def begin(self, address: str, identity: str, now_ms: int) -> None:
        """Counts as a failure of this pair until it is known better: many at once are no way around the limit."""
        self._pairs.add((network_of(address), identity), now_ms)

    def failed(self, address: str, identity: str, now_ms: int) -> None:
        network = network_of(address)
        _newest(self._addresses, network, identity, now_ms)
        _newest(self._identities, identity, network, now_ms)

    def is_spread(self, identity: str, now_ms: int) -> bool:
        """It failed from as many addresses within a minute as an address may have identities that fail."""
        found = self._identities.get(identity, {}).values()
        return sum(now_ms - at < WINDOW_MS for at in found) >= FAILURES_MAX

    def withdrawn(self, address: str, identity: str) -> None:
        """It was right, or not checked after all."""
        self._pairs.take_back((network_of(address), identity))

    def came_in(self, address: str, identity: str) -> None:
        network = network_of(address)
        before = self._trusted.pop(identity, ())
        others = tuple(one for one in before if one != network)
        self._trusted[identity] = (*others, network)[-ADDRESSES_EACH_MAX:]
        if len(self._trusted) > TRUSTED_MAX:
            del self._trusted[next(iter(self._trusted))]


def _newest(of: dict[str, dict[str, int]], key: str, name: str, now_ms: int) -> None:
    """Each name once, of as many as count."""
    names = of.pop(key, {})
    names.pop(name, None)
    names[name] = now_ms
    if len(names) > FAILURES_MAX:
        del names[next(iter(names))]
    of[key] = names
    if len(of) > ADDRESSES_MAX:
        del of[next(iter(of))]


class _Failures:
    """The newest of each key, as many as count."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._at_ms: dict[Hashable, tuple[int, ...]] = {}

    def wait_ms(self, key: Hashable, now_ms: int) -> int:
        found = [at for at in self._at_ms.get(key, ()) if now_ms - at < WINDOW_MS]
        return found[-FAILURES_MAX] + WINDOW_MS - now_ms if len(found) >= FAILURES_MAX else 0

    def add(self, key: Hashable, now_ms: int) -> None:
        self._at_ms[key] = (*self._at_ms.pop(key, ()), now_ms)[-FAILURES_MAX:]
        if len(self._at_ms) > self._keys_max:
            del self._at_ms[next(iter(self._at_ms))]

    def take_back(self, key: Hashable) -> None:
        found = self._at_ms.pop(key, ())[:-1]
        if found:
            self._at_ms[key] = found


@lru_cache(maxsize=4_096)
def network_of(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)
