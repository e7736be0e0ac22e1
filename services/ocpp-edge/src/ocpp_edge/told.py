"""What the journal last said of the registry, to see at a start what became of its file meanwhile.

A password's hash is in no fact; a mark of it is, which is another one for another password and leads nowhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from holdfast.contracts.registry import ChargePointRegistered, ChargePointUnregistered
from ocpp_edge.adapters.store import Store
from ocpp_edge.registry import Registered

RegistryFact = ChargePointRegistered | ChargePointUnregistered
AT_FIRST = "the registry's file, at the first start"
MEANWHILE = "the registry's file, changed while ocpp-edge was away"
MARK_CHARACTERS = 16


class Told:
    """Beside the snapshot, for the journal forgets."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stands = store.load_registered()
        self._unsaved: set[str] = set()

    def folds(self, fact: RegistryFact) -> None:
        self._unsaved.add(fact.charge_point)
        if isinstance(fact, ChargePointRegistered):
            self._stands[fact.charge_point] = fact
        else:
            self._stands.pop(fact.charge_point, None)

    def save(self) -> None:
        if self._unsaved:
            self._store.save_registered({one: self._stands.get(one) for one in self._unsaved})
            self._unsaved.clear()

    def differences(self, registered: Mapping[str, Registered]) -> list[RegistryFact]:
        """What the journal would have to say for the registry to be as it is."""
        by = MEANWHILE if self._stands else AT_FIRST
        found: list[RegistryFact] = [
            ChargePointUnregistered(charge_point=identity, by=by)
            for identity in sorted(self._stands.keys() - registered.keys())
        ]
        for identity, entry in sorted(registered.items()):
            last = self._stands.get(identity)
            mark = mark_of(entry)
            is_marked = last is not None and last.password_mark is not None
            changed = last is None or (is_marked and last.password_mark != mark)
            now = registered_as(identity, entry, by, password_changed=changed)
            if last is None or changed or _what(now) != _what(last):
                found.append(now)
        return found


def registered_as(
    identity: str, entry: Registered, by: str, *, password_changed: bool
) -> ChargePointRegistered:
    return ChargePointRegistered(
        charge_point=identity,
        security_profile=entry.security_profile,
        next_security_profile=entry.next_security_profile,
        certificate_cn=entry.certificate_cn,
        password_changed=password_changed,
        password_mark=mark_of(entry),
        by=by,
    )


def mark_of(entry: Registered) -> str:
    """Of the salted hash, cut short: nothing to guess against."""
    return hashlib.sha256((entry.password_scrypt or "").encode()).hexdigest()[:MARK_CHARACTERS]


def _what(fact: ChargePointRegistered) -> tuple[int, int | None, str | None]:
    return fact.security_profile, fact.next_security_profile, fact.certificate_cn
