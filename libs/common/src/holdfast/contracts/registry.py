"""Who may connect to a site: facts of its registry and its door. No secret, and no hash of one, is in any of them."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from holdfast.contracts.envelope import Fact


class EntryProblem(StrEnum):
    TOO_MANY_FAILURES = "too many failures"
    """Passwords are being tried out."""
    SECURITY_PROFILE = "security profile"
    """By another profile than the registered one: a downgrade, or a charge point set up otherwise."""
    CERTIFICATE = "certificate"
    DUPLICATE_IDENTITY = "duplicate identity"
    """A second connection, while the first was alive."""


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
