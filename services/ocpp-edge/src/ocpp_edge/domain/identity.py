"""Whose id is it? At a site the id of a command belongs to that one command, from wherever others come with it."""

from __future__ import annotations

import json

from holdfast.contracts.command import Command
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.state import State

SITE_PREFIX = "cap-"
"""Of the ids that the site gives itself: nobody else's command may be in the way of an energy cap."""


def content(command: Command) -> str:
    """What makes it this command. Not its times, nor who gives it: whoever got no answer may send it again with the
    same id, and then those of the first one hold.
    """
    payload = json.dumps(command.payload, sort_keys=True)
    names = (command.id, command.charge_point, command.action, command.issuer, command.by_rule)
    return digest("command", *names, payload)


def content_known(state: State, id: str) -> str | None:
    """Of the command that has this id here. Empty: a snapshot of before this was kept knows the id alone."""
    pending = state.known.commands.get(id)
    if pending is not None:
        return content(pending.command)
    if id in state.known.settled:
        return state.known.contents.get(id) or ""
    return state.live.arriving.get(id)


def used(id: str) -> str:
    return f"id {id!r} was used for another command: choose a new one"


def reserved(id: str) -> str | None:
    if not id.startswith(SITE_PREFIX):
        return None
    return f"ids that begin with {SITE_PREFIX!r} are the site's own: choose another one"
