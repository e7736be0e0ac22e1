"""What a charge point is answered when only the CSMS could answer, and it did not (class R).

Each says no in the action's own words, so that the charge point goes on as with a CSMS that declines; where an action
has no such word, nothing is claimed to be known.
"""

from __future__ import annotations

import json
from typing import Any

from ocpp_edge.domain.calls import Authorize, Call
from ocpp_edge.domain.text import utc_text

CHAIN_AGAIN_MS = 300_000
"""When a charge point may ask about a certificate chain again."""


def of(call: Call, at_ms: int) -> str:
    return json.dumps(_payload(call, at_ms), separators=(",", ":"))


def _payload(call: Call, at_ms: int) -> dict[str, Any]:
    match call.action:
        case "Authorize":
            assert isinstance(call.request, Authorize)
            # A contract that nobody could check is not accepted, whatever is known of its number.
            return {
                "idTokenInfo": {"status": "Invalid"},
                "certificateStatus": "NoCertificateAvailable",
            }
        case "DataTransfer":
            return {"status": "UnknownVendorId"}
        case "Get15118EVCertificate":
            return {"status": "Failed", "exiResponse": ""}
        case "GetCertificateStatus":
            return {"status": "Failed"}
        case "GetCertificateChainStatus":
            return {"certificateStatus": _chain(call, at_ms)}
        case "VatNumberValidation":
            asked = json.loads(call.raw)
            evse = {"evseId": asked["evseId"]} if "evseId" in asked else {}
            return {"vatNumber": asked["vatNumber"], "status": "Rejected", **evse}
        case _:
            return {"status": "Rejected"}


def _chain(call: Call, at_ms: int) -> list[dict[str, Any]]:
    again = utc_text(at_ms + CHAIN_AGAIN_MS)
    return [
        {
            "certificateHashData": asked["certificateHashData"],
            "source": asked["source"],
            "status": "Failed",
            "nextUpdate": again,
        }
        for asked in json.loads(call.raw)["certificateStatusRequests"]
    ]
