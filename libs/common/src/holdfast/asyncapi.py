"""The AsyncAPI 3 document of everything that crosses the bus, out of the contracts and subjects themselves.

    python -m holdfast.asyncapi > docs/spec/asyncapi.json

Facts are listed by themselves (`envelope.FACTS`); what is requested and what comes down are the two tables here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from pydantic.json_schema import models_json_schema

from holdfast import contracts, subjects
from holdfast.contracts.envelope import FACTS, Contract, Envelope, Fact
from holdfast.contracts.rpc import Empty, Failure

Document = dict[str, Any]

SITE, CHARGE_POINT, COMMAND, PLACE = "{site}", "{charge_point}", "{command}", "{place}"
WORD = "{word}"
_PARAMETERS = {
    SITE: "Name of the site: 1 to 32 of a-z, 0-9 and -",
    CHARGE_POINT: "Identity of the charge point, encoded by `subjects.token`",
    COMMAND: "Id of the command, encoded by `subjects.token`",
    WORD: "confirm or cancel",
    PLACE: "Place after the last full list, from 0",
}


class Asked(NamedTuple):
    """A request and its reply (or `Failure`)."""

    verb: str
    answers: str
    """The service that answers."""
    request: type[Contract]
    reply: type[Contract]


SITE_REQUESTS = (
    Asked("mode", "mode-manager", Empty, contracts.mode.ModeStatus),
    Asked(
        "override",
        "mode-manager",
        contracts.mode.BeginOverride,
        contracts.mode.OverrideReceipt,
    ),
    Asked(
        "override-end", "mode-manager", contracts.mode.EndOverride, contracts.mode.OverrideReceipt
    ),
    Asked("head", "journal", contracts.journal.HeadRequest, contracts.mode.Head),
    Asked("storage", "journal", Empty, contracts.journal.StorageStatus),
    Asked("entries", "journal", contracts.journal.EntriesRequest, contracts.journal.Entries),
    Asked("authorise", "rule-service", contracts.decision.Authorise, contracts.decision.Authorised),
    Asked("admit", "rule-service", contracts.decision.Admit, contracts.decision.Admitted),
    Asked("rules", "rule-service", Empty, contracts.rules.RulesStatus),
    Asked("limit", "rule-service", Empty, contracts.limits.EffectiveLimit),
    Asked("command", "ocpp-edge", contracts.command.Command, contracts.command.CommandReceipt),
    Asked("csms-command", "ocpp-edge", contracts.command.Command, contracts.command.CommandReceipt),
    Asked(
        "command-word",
        "ocpp-edge",
        contracts.command.CommandWord,
        contracts.command.CommandReceipt,
    ),
    Asked("csms-authorise", "csms-bridge", contracts.csms.AskCsms, contracts.decision.CloudVerdict),
    Asked("lanes", "ocpp-edge", Empty, contracts.command.CommandLanes),
    Asked("charge-points", "ocpp-edge", Empty, contracts.charge_point.ChargePointsStatus),
    Asked(
        "charge-point-state",
        "ocpp-edge",
        contracts.local_state.LocalStateRequest,
        contracts.local_state.LocalStateView,
    ),
    Asked(
        "charge-point-registry",
        "ocpp-edge",
        contracts.registry.RegistryRequest,
        contracts.registry.RegistryReply,
    ),
    Asked("recovery", "reconciler", Empty, contracts.recovery.RecoveryStatus),
    Asked("sessions", "reconciler", contracts.session.SessionsRequest, contracts.session.Sessions),
)
UP_REQUESTS = (
    Asked("pulse", "journal", contracts.mode.Pulse, contracts.mode.PulseReply),
    Asked("confirmed", "journal", contracts.journal.Confirm, contracts.journal.Confirmed),
    Asked("downlink", "journal", contracts.journal.BindDownlink, contracts.journal.DownlinkBound),
    Asked(
        "authorise", "rule-service", contracts.decision.Authorise, contracts.decision.CloudVerdict
    ),
    Asked("desired", "rule-service", Empty, contracts.rules.Desired),
    Asked(
        "rules",
        "rule-service",
        contracts.rollout.KeyChangesRequest,
        contracts.rollout.KeyChanges,
    ),
    Asked(
        "driver-tokens",
        "rule-service",
        contracts.driver_tokens.FullListWanted,
        contracts.rules.Published,
    ),
    Asked("digest", "reconciler", contracts.recovery.DigestRequest, contracts.recovery.Digest),
    Asked("csms", "csms-bridge", contracts.csms.CaughtUpRequest, contracts.csms.CaughtUp),
    Asked("relay", "csms-bridge", contracts.csms.RelayRequest, contracts.csms.RelayReply),
)
CLOUD_REQUESTS = (
    Asked("entries", "journal", contracts.journal.EntriesRequest, contracts.journal.Entries),
    Asked("copies", "journal", contracts.journal.CopiesRequest, contracts.journal.Copies),
    Asked("gaps", "journal", contracts.journal.CopiesRequest, contracts.journal.Gaps),
    Asked(
        "command", "rule-service", contracts.command.SendCommand, contracts.command.CommandReceipt
    ),
    Asked(
        "command-word",
        "rule-service",
        contracts.command.SendWord,
        contracts.command.CommandReceipt,
    ),
    Asked("publish", "rule-service", contracts.rules.Publish, contracts.rules.Published),
    Asked("rollout", "rule-service", contracts.rollout.Rollout, contracts.rollout.RolledOut),
    Asked("rollback", "rule-service", contracts.rollout.Rollback, contracts.rules.Published),
    Asked(
        "rules-history",
        "rule-service",
        contracts.rollout.RulesHistoryRequest,
        contracts.rollout.RulesHistory,
    ),
    Asked("sessions", "reconciler", contracts.session.SessionsRequest, contracts.session.Sessions),
    Asked("csms-authorise", "csms-bridge", contracts.csms.AskCsms, contracts.decision.CloudVerdict),
    Asked(
        "upstream-settle",
        "csms-bridge",
        contracts.csms.SettleDelivery,
        contracts.csms.DeliverySettled,
    ),
    Asked("upstream", "csms-bridge", contracts.csms.UpstreamRequest, contracts.csms.UpstreamStatus),
)
_DOWN = "hf.{site}.down."  # a pattern: the builders check that a site's name is one
DOWNLINK = (
    (f"{_DOWN}command.{COMMAND}", contracts.command.Command),
    (f"{_DOWN}command-word.{COMMAND}.{WORD}", contracts.command.CommandWord),
    (f"{_DOWN}rules.bundle", contracts.rules.SignedRules),
    (f"{_DOWN}driver-tokens.full", contracts.driver_tokens.DriverTokenList),
    (f"{_DOWN}driver-tokens.changes.{PLACE}", contracts.driver_tokens.DriverTokenChanges),
    (f"{_DOWN}limit.site", contracts.rules.SiteLimit),
)


def document() -> Document:
    channels: Document = {}
    operations: Document = {}
    for fact in _facts():
        _add_fact(channels, operations, fact)
    for address, contract in DOWNLINK:
        _add_downlink(channels, operations, address, contract)
    for scope, pattern, table in (
        ("site", "hf.{site}.rpc.", SITE_REQUESTS),
        ("up", "hf.{site}.up.", UP_REQUESTS),
        ("cloud", subjects.cloud_rpc(""), CLOUD_REQUESTS),
    ):
        for asked in table:
            _add_request(channels, operations, scope, pattern + asked.verb, asked)
    _add_cloud_journal(channels, operations)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Holdfast",
            "version": version("holdfast"),
            "description": "Facts, requests and downlink of Holdfast on NATS. Generated: "
            "`python -m holdfast.asyncapi`.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _facts() -> list[type[Fact]]:
    return [FACTS[kind] for kind in sorted(FACTS)]


def _contracts() -> list[type[Contract]]:
    """Everything that is a message of its own, facts apart."""
    found: dict[str, type[Contract]] = {"Failure": Failure}
    for asked in (*SITE_REQUESTS, *UP_REQUESTS, *CLOUD_REQUESTS):
        found |= {kind.__name__: kind for kind in (asked.request, asked.reply)}
    found |= {kind.__name__: kind for _, kind in DOWNLINK}
    return [found[name] for name in sorted(found)]


def _add_fact(channels: Document, operations: Document, fact: type[Fact]) -> None:
    words = fact.TYPE.split(".")
    if "charge_point" in fact.model_fields:
        words.append(CHARGE_POINT)
    address = ".".join(("hf", SITE, fact.STREAM, *words))
    channel = f"{fact.STREAM}.{fact.TYPE}"
    channels[channel] = _channel(address, [fact], f"Stored in {fact.STREAM.upper()} of the site")
    operations[f"record.{fact.TYPE}"] = _operation("send", channel, [fact], _first_line(fact))


def _add_downlink(
    channels: Document, operations: Document, address: str, contract: type[Contract]
) -> None:
    name = f"down.{contract.__name__}"
    channels[name] = _channel(address, [contract], "Stored in DOWNLINK, the newest per subject")
    operations[f"publish.{contract.__name__}"] = _operation(
        "send", name, [contract], "By rule-service in the cloud"
    )


def _add_request(
    channels: Document, operations: Document, scope: str, address: str, asked: Asked
) -> None:
    name = f"{scope}.{asked.verb}"
    channels[name] = _channel(address, [asked.request], f"{asked.answers} answers")
    channels[f"{name}.reply"] = {
        "address": None,  # the asker's inbox
        "messages": _message_refs([asked.reply, Failure]),
    }
    operation = _operation("receive", name, [asked.request], f"{asked.answers} answers")
    operation["reply"] = {
        "channel": {"$ref": f"#/channels/{name}.reply"},
        "messages": [
            {"$ref": f"#/channels/{name}.reply/messages/{_name(kind)}"}
            for kind in (asked.reply, Failure)
        ],
    }
    operations[f"answer.{name}"] = operation


def _add_cloud_journal(channels: Document, operations: Document) -> None:
    recorded = [fact for fact in _facts() if fact.STREAM == "journal"]
    channels["cloud-journal"] = {
        "address": f"hf.cloud.journal.{SITE}.*",
        "description": "Every verified fact of every site, its bytes unchanged, in order per site; headers "
        "Hf-Site, Hf-Incarnation, Hf-Seq. Further tokens as in the site's journal",
        "parameters": _parameters(SITE),
        "messages": _message_refs(recorded),
    }
    operations["republish"] = _operation(
        "send", "cloud-journal", recorded, "By journal in the cloud, once verified"
    )


def _channel(address: str, kinds: Sequence[type[Contract]], description: str) -> Document:
    channel: Document = {"address": address, "description": description}
    parameters = _parameters(address)
    if parameters:
        channel["parameters"] = parameters
    return channel | {"messages": _message_refs(kinds)}


def _parameters(address: str) -> Document:
    return {
        pattern.strip("{}"): {"description": text}
        for pattern, text in _PARAMETERS.items()
        if pattern in address
    }


def _operation(
    action: str, channel: str, kinds: Iterable[type[Contract]], summary: str
) -> Document:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{_name(kind)}"} for kind in kinds],
    }


def _name(kind: type[Contract]) -> str:
    return kind.TYPE if issubclass(kind, Fact) else kind.__name__


def _message_refs(kinds: Iterable[type[Contract]]) -> Document:
    return {_name(kind): {"$ref": f"#/components/messages/{_name(kind)}"} for kind in kinds}


def _messages() -> Document:
    facts = {
        fact.TYPE: {
            "name": fact.TYPE,
            "summary": _first_line(fact),
            "headers": {"type": "object", "properties": {"Nats-Msg-Id": {"type": "string"}}},
            "payload": {
                "allOf": [
                    {"$ref": "#/components/schemas/Envelope"},
                    {
                        "properties": {
                            "type": {"const": fact.TYPE},
                            "body": {"$ref": f"#/components/schemas/{fact.__name__}"},
                        }
                    },
                ]
            },
        }
        for fact in _facts()
    }
    others = {
        kind.__name__: {
            "name": kind.__name__,
            "summary": _first_line(kind),
            "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        }
        for kind in _contracts()
    }
    return facts | others


def _schemas() -> Document:
    kinds: list[type[Contract]] = [Envelope, *_facts(), *_contracts()]
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}"
    )
    definitions: Document = schemas["$defs"]
    return dict(sorted(definitions.items()))


def _first_line(kind: type[Contract]) -> str:
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0]


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
