"""Everything that crosses a process boundary. One file per topic; importing this registers every fact."""

from holdfast.contracts import (
    charge_point,
    command,
    csms,
    decision,
    driver_tokens,
    envelope,
    journal,
    limits,
    local_state,
    mode,
    recovery,
    registry,
    rollout,
    rpc,
    rules,
    session,
)

__all__ = [
    "charge_point",
    "command",
    "csms",
    "decision",
    "driver_tokens",
    "envelope",
    "journal",
    "limits",
    "local_state",
    "mode",
    "recovery",
    "registry",
    "rollout",
    "rpc",
    "rules",
    "session",
]
