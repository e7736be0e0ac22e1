"""What is known of the CSMS behind a site: out of its bridge's answers in the cloud, out of the pulses at the site.

A bridge that never answered is no fault: then no CSMS is known to stand behind the site.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.contracts.csms import OpenDelivery, Phase, UpstreamStatus, UpstreamView
from holdfast.contracts.mode import CsmsState, ModeStatus
from holdfast.contracts.recovery import OpenPoint, Step
from monitor.domain.readings import Reading, never

BRIDGE = "csms-bridge"
_WANTED = frozenset({Phase.CONNECTING, Phase.BOOTING, Phase.PENDING, Phase.REJECTED})
"""And closed, while something is to be said there and it can't be: between two tries the phase is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsmsNow:
    state: CsmsState
    instance: str | None = None
    """None where this scope can't tell; so with the rest."""
    views: tuple[UpstreamView, ...] | None = None
    deliveries: tuple[OpenDelivery, ...] = ()

    @property
    def not_accepted(self) -> tuple[UpstreamView, ...] | None:
        """Charge points that should be online at their primary, and are not accepted there."""
        if self.views is None:
            return None
        named = {(one.backend, one.charge_point) for one in self.deliveries}
        return tuple(
            view
            for view in self.views
            if view.primary
            and (
                view.phase in _WANTED
                or _is_unreached(view, (view.backend, view.charge_point) in named)
            )
        )

    @property
    def waiting(self) -> int | None:
        """Messages not yet delivered to the primaries: a follower that is behind is nobody's trouble."""
        if self.views is None:
            return None
        return sum(view.waiting for view in self.views if view.primary)


def _is_unreached(view: UpstreamView, is_named: bool) -> bool:
    """Closed with a problem and nothing to deliver is one that nobody needs just now."""
    return view.phase is Phase.CLOSED and view.problem != "" and (view.waiting > 0 or is_named)


def told_at_site(mode: ModeStatus) -> CsmsNow:
    return CsmsNow(state=mode.csms)


def told_in_cloud(upstream: Reading[UpstreamStatus]) -> Reading[CsmsNow]:
    if upstream.last is None:
        return never(BRIDGE, f"no CSMS is known behind this site: {upstream.problem}")
    return upstream.map(
        lambda told: CsmsNow(
            state=told.csms,
            instance=told.instance,
            views=told.charge_points,
            deliveries=told.open_deliveries,
        )
    )


def with_deliveries(
    points: Reading[tuple[OpenPoint, ...]], csms: Reading[CsmsNow]
) -> Reading[tuple[OpenPoint, ...]]:
    """What recovery left open, and what the bridge can't deliver. Where no bridge ever answered, nothing is added."""
    known = csms.last
    if known is None or (known.state is CsmsState.NONE and not known.deliveries):
        return points
    deliveries = tuple(point_of(delivery) for delivery in known.deliveries)
    if deliveries:
        points = replace(points, last=(*(points.last or ()), *deliveries))
    return points.no_fresher_than(csms)


def point_of(delivery: OpenDelivery) -> OpenPoint:
    what = (
        f"{delivery.charge_point} at {delivery.backend}, {delivery.trouble.value}: {delivery.what}"
    )
    return OpenPoint(step=Step.CSMS_CAUGHT_UP, what=what)
