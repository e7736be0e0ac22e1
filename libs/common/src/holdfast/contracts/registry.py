"""Who may connect to a site: facts of its registry and its door. No secret, and no hash of one, is in any of them."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt

from holdfast.contracts.envelope import Contract, Fact
from holdfast.ocpp.versions import OcppVersion


class EntryProblem(StrEnum):
    TOO_MANY_FAILURES = "too many failures"
    """Passwords are being tried out."""
    SECURITY_PROFILE = "security profile"
    """By another profile than the registered one: a downgrade, or a charge point set up otherwise."""
    CERTIFICATE = "certificate"
    DUPLICATE_IDENTITY = "duplicate identity"
    """A second connection, while the first was alive."""
    PENDING = "pending"
    """An unknown charge point waits for an operator to accept it."""


class EntryRefused(Fact):
    """Somebody was not let in, in a way that an operator should know of. The same again within a minute is counted
    in the next one; of very many different ones some are counted together, without a name.
    """

    TYPE: ClassVar[str] = "charge-point.entry-refused"

    problem: EntryProblem
    claimed: str | None
    """The identity that was claimed; nothing proves it. None: not known, or several."""
    address: str | None
    """Where it came from, without the port; None as for `claimed`."""
    detail: str = ""
    times: int = 1
    """So often since the fact before it."""


class ChargePointRegistered(Fact):
    """It may connect from now on, or by something else than before. At the first start of a journal's life every one
    is told; at later ones those whose entry was changed meanwhile.
    """

    TYPE: ClassVar[str] = "charge-point.registered"

    charge_point: str
    security_profile: int
    next_security_profile: int | None = None
    """It may come by this one, too; once it has, this is its only one."""
    certificate_cn: str | None = None
    password_changed: bool
    password_mark: str | None = None
    """Another one for another password, and nothing to guess one by: so a restart sees whether it was changed."""
    by: str


class ChargePointUnregistered(Fact):
    """It may not connect any more; its connection was closed."""

    TYPE: ClassVar[str] = "charge-point.unregistered"

    charge_point: str
    by: str


class PendingEnded(Fact):
    """A charge point waits no longer to be accepted, and was not. One that was accepted is registered."""

    TYPE: ClassVar[str] = "charge-point.pending-ended"

    claimed: str
    """The identity that was claimed; nothing proves it."""
    why: Literal["rejected", "gone"]
    by: str


class DoorCondition(Contract):
    """Of a site's door for charge points: one that does not hold, or will not for long."""

    name: str
    """`certificates`, `registry`."""
    holds: bool
    """Still."""
    why: str
    """And what now."""


class DoorConditionsChanged(Fact):
    """What is not well with a site's door for charge points: nobody there is turned away for it yet, but somebody must
    see to it.
    """

    TYPE: ClassVar[str] = "charge-point.door-conditions-changed"

    conditions: tuple[DoorCondition, ...]
    """All of them; empty: all is well."""


class RegistryVerb(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    PASSWORD = "password"  # noqa: S105  a verb
    PROFILE = "profile"
    ACCEPT = "accept"
    """A pending one is registered, with what it shows."""
    REJECT = "reject"
    PENDING = "pending"
    """Who waits to be accepted."""


class RegistryRequest(Contract):
    """Of an operator, at the site or in the cloud, to the site's registry. A password never travels, only its hash."""

    verb: RegistryVerb
    charge_point: str = Field("", max_length=255)
    """Empty for `pending`."""
    password_scrypt: str | None = None
    password_random: StrictBool = False
    """Made by a machine, with over 100 bits of chance."""
    security_profile: StrictInt | None = None
    at_once: StrictBool = False
    """For `profile`: the old one is refused from now on; else only once it has come by the new one."""
    certificate_cn: str | None = None
    by: str = Field("", max_length=200)


class PendingChargePoint(Contract):
    """One that is not registered and waits for an operator. What it says of itself nothing proves."""

    charge_point: str
    security_profile: int
    address: str
    version: OcppVersion
    connected: bool
    since_ms: int
    heard_ms: int
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None


class RegistryReply(Contract):
    status: Literal["done", "unchanged", "refused"]
    reason: str = ""
    pending: tuple[PendingChargePoint, ...] = ()
