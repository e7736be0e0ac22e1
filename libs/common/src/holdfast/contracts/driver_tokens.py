"""Driver tokens, and the local list of them that a site decides by: how it comes down, and that it took effect."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.numbers import WHOLE_MAX, Moment, Version

TOKENS_MAX = 100_000
"""On one local list, whatever number of messages it came in."""


class TokenStatus(StrEnum):
    """As OCPP 1.6 AuthorizationStatus has it."""

    ACCEPTED = "Accepted"
    BLOCKED = "Blocked"
    EXPIRED = "Expired"
    INVALID = "Invalid"
    CONCURRENT_TX = "ConcurrentTx"


class TokenType(StrEnum):
    """What kind of driver token: the same characters under two types are two driver tokens."""

    ID_TAG = "idTag"
    """Of OCPP 1.6, which knows no types. The others are the idToken types of OCPP 2.x."""
    ISO14443 = "ISO14443"
    ISO15693 = "ISO15693"
    EMAID = "eMAID"
    KEY_CODE = "KeyCode"
    LOCAL = "Local"
    MAC_ADDRESS = "MacAddress"
    CENTRAL = "Central"
    NO_AUTHORIZATION = "NoAuthorization"
    """A start without any driver token, e.g. by a button."""
    DIRECT_PAYMENT = "DirectPayment"
    EVCCID = "EVCCID"
    VIN = "VIN"
    """These three since 2.1, where the type is a free text."""
    OTHER = "other"
    """One of 2.1 that this build does not know."""
    GROUP = "group"
    """None of OCPP's: on a list, what is said of a group (parentIdTag, groupIdToken). No driver presents one."""


class Whitelist(StrEnum):
    """OCPI's WhitelistType of a driver token: whether the site may accept it by itself."""

    ALWAYS = "ALWAYS"
    """Decided at the site, nobody is asked."""
    ALLOWED = "ALLOWED"
    """An acceptance of the site's own counts without waiting for another."""
    ALLOWED_OFFLINE = "ALLOWED_OFFLINE"
    """Whoever can be asked is; the site's own word counts only when there is no answer."""
    NEVER = "NEVER"
    """Accepted only by an answer of cloud or CSMS; without one it is refused."""


class TokenIdentity(Contract):
    driver_token: str = Field(min_length=1, max_length=255)
    """Compared without regard to case."""
    token_type: TokenType = TokenType.ID_TAG


class ListedToken(TokenIdentity):
    status: TokenStatus = TokenStatus.ACCEPTED
    parent: str | None = None
    """Group the token belongs to (parentIdTag, groupIdToken)."""
    valid_until_ms: Moment | None = None
    valid_from_ms: Moment | None = None
    """Before it the driver token is Invalid."""
    whitelist: Whitelist | None = None
    """None: the mode's rules say whether the cloud is asked."""
    as_of_ms: Moment | None = None
    """When this was said. None on a list: when the list was drawn up. None in a decision: one of before lists
    had a time."""


class DriverTokenList(Contract):
    """What travels on `hf.<site>.down.driver-tokens.full`: the whole local list."""

    version: Version
    tokens: tuple[ListedToken, ...] = Field(max_length=TOKENS_MAX)
    as_of_ms: Moment | None = None
    """When it was drawn up; the cloud fills it in when it is published. None: older than any revocation."""
    hash: str = ""
    """`rule_service.domain.token_lists.list_hash` of the tokens, hex; empty: not checked."""


class DriverTokenChanges(Contract):
    """What travels on `hf.<site>.down.driver-tokens.changes.<place>`: from one list to the next."""

    version: Version
    base_version: Version
    """Applied to this very list and to no other."""
    changed: tuple[ListedToken, ...] = Field((), max_length=TOKENS_MAX)
    """Added, or put in place of what was said before."""
    removed: tuple[TokenIdentity, ...] = Field((), max_length=TOKENS_MAX)
    as_of_ms: Moment | None = None
    hash: str = ""
    """Of the list that must result; filled in by the cloud. Empty: the changes are refused."""


class DriverTokensInstalled(Fact):
    """A local list took effect (the tokens themselves stay out of the journal)."""

    TYPE: ClassVar[str] = "driver-tokens.installed"

    version: int
    count: int
    hash: str


class DriverTokensRefused(Fact):
    """A list, or changes to one, that was not taken; the last good one stays."""

    TYPE: ClassVar[str] = "driver-tokens.refused"

    version: int | None
    """None: unreadable."""
    installed_version: int
    reason: str
    full_wanted: bool
    """The site can't come to the newest list without a full one, and has asked for it."""


class FullListWanted(Contract):
    """Request of `up.driver-tokens`: changes can't be applied here; reply is `Published`."""

    installed_version: int = Field(ge=0, le=WHOLE_MAX)
    why: str
