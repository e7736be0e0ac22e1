"""Request and reply: a reply is its contract, or this."""

from __future__ import annotations

from typing import Literal

from holdfast.contracts.envelope import Contract


class Empty(Contract):
    """A request that asks for what there is."""


class Failure(Contract):
    """The responder could not serve the request; `error` says what, which and what now."""

    failure: Literal[True] = True
    error: str
    retry: bool
    """True when the same request may succeed later."""
