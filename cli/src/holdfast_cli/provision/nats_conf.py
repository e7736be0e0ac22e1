"""The configuration of nats-server in the cloud and at a site, as text. One generator for tests, demo and production.

What stands here was measured (docs/adr): each permission is needed, and nothing else crosses a leaf.
    sync.up.<site>.>    data of the site's streams     sync.down.<site>.>   data of DOWNLINK
    hf.<site>.up.>      requests of the site           hf.<site>.rpc.>      requests to the site
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from holdfast import subjects

CLOUD_ACCOUNT = "HOLDFAST"
SITE_ACCOUNT = "SITE"
SITE_USER = "site"
CLOUD_USER = "cloud"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAccess:
    """A site as the cloud lets it in."""

    site: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudNode:
    """One server of the cloud."""

    name: str = "cloud-1"
    listen: str
    """host:port for clients."""
    leaf_listen: str
    http: str | None = None
    """host:port of the monitoring page. It has no authentication: loopback or a protected network only."""
    store_dir: Path
    cert_file: Path
    key_file: Path
    ca_file: Path
    cloud_password: str
    """Of user `cloud`: one for all cloud services here; one user per service with least rights in production."""
    sys_password: str
    sites: Sequence[SiteAccess]
    cluster_listen: str | None = None
    routes: Sequence[str] = ()
    """host:port of every node of the cluster; empty for a single server."""
    memory_max: str = "1G"
    file_max: str = "20G"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteNode:
    """The leaf server of one site."""

    site: str
    listen: str
    http: str | None = None
    store_dir: Path
    ca_file: Path
    site_password: str
    """Of user `site`, which the site's services are."""
    sys_password: str
    leaf_password: str
    """The site's at the cloud."""
    leaf_urls: Sequence[str]
    """host:port of the cloud's leaf listeners."""
    memory_max: str = "256M"
    file_max: str = "10G"


def cloud_conf(node: CloudNode) -> str:
    return "\n".join(
        [
            f"# Cloud node {node.name}",
            f"server_name: {node.name}",
            *_listening(node.listen, node.http),
            *_cluster(node),
            _jetstream(node.store_dir, subjects.CLOUD, node.memory_max, node.file_max),
            "leafnodes {",
            f"  listen: {_quoted(node.leaf_listen)}",
            "  tls {",
            f"    cert_file: {_quoted(node.cert_file)}",
            f"    key_file: {_quoted(node.key_file)}",
            f"    ca_file: {_quoted(node.ca_file)}",
            "    timeout: 5",
            "  }",
            "  no_advertise: true   # else sites learn the nodes' own addresses and bypass a load balancer",
            "}",
            "accounts {",
            _system_users(node.sys_password),
            f"  {CLOUD_ACCOUNT} {{",
            "    jetstream: enabled",
            "    users: [",
            f"      {{ user: {CLOUD_USER}, password: {_quoted(node.cloud_password)} }}",
            *(_site_user(access) for access in node.sites),
            "    ]",
            "  }",
            "}",
            "system_account: SYS",
            "",
        ]
    )


def site_conf(node: SiteNode) -> str:
    subjects.check_site(node.site)
    credentials = f"{quote(node.site, safe='')}:{quote(node.leaf_password, safe='')}"
    urls = ", ".join(_quoted(f"tls://{credentials}@{address}") for address in node.leaf_urls)
    return "\n".join(
        [
            f"# Leaf server of site {node.site}",
            f"server_name: {subjects.domain(node.site)}",
            *_listening(node.listen, node.http),
            _jetstream(node.store_dir, subjects.domain(node.site), node.memory_max, node.file_max),
            "accounts {",
            _system_users(node.sys_password),
            f"  {SITE_ACCOUNT} {{ jetstream: enabled, users: "
            f"[ {{ user: {SITE_USER}, password: {_quoted(node.site_password)} }} ] }}",
            "}",
            "system_account: SYS",
            "leafnodes {",
            "  remotes: [ {",
            f"    urls: [{urls}]",
            f"    account: {SITE_ACCOUNT}",
            f"    tls {{ ca_file: {_quoted(node.ca_file)}, timeout: 5 }}",
            "    # Journal and telemetry leave the site only as copied streams, never as live subjects that a",
            "    # cloud stream could capture and acknowledge.",
            f"    deny_exports: {_list([*_journal_subjects(), 'hf.*.rpc.>'])}",
            "    # Never hf.*.up.> here: it cuts the cloud's responders off too.",
            f"    deny_imports: {_list(_journal_subjects())}",
            "  } ]",
            '  reconnect: "1s"',
            "}",
            "",
        ]
    )


def _site_user(access: SiteAccess) -> str:
    site = subjects.check_site(access.site)
    domain, up, down = (
        subjects.domain(site),
        subjects.up_consumer(site),
        subjects.down_consumer(site),
    )
    api = f"$JS.{domain}.API"
    may_publish = [
        f"sync.up.{site}.>",
        f"hf.{site}.up.>",
        f"$JS.{subjects.CLOUD}.API.CONSUMER.RESET.{subjects.DOWNLINK}.{down}",
        f"$JS.FC.{subjects.DOWNLINK}.{down}.>",
        "$JSC.R.*",
        "_INBOX.cp.>",
    ]
    may_subscribe = [
        f"sync.down.{site}.>",
        f"hf.{site}.rpc.>",
        f"_INBOX.{site}.>",
        "$JSC.R.*",
        f"$JS.FC.*.{up}.>",  # by the consumer's token: stream names change with the incarnation
        f"{api}.CONSUMER.>",  # what the site's server itself subscribes; narrower is refused
        f"{api}.STREAM.>",
    ]
    # The cloud reads a site's journal, it never cuts it.
    never = [f"{api}.STREAM.{verb}.>" for verb in ("PURGE", "DELETE", "UPDATE", "MSG.DELETE")]
    return "\n".join(
        [
            f"      {{ user: {_quoted(site)}, password: {_quoted(access.password)}, "
            'allowed_connection_types: ["LEAFNODE"], permissions: {',
            f"          publish: {{ allow: {_list(may_publish)} }}",
            f"          subscribe: {{ allow: {_list(may_subscribe)},",
            f"                       deny: {_list(never)} }}",
            "      } }",
        ]
    )


def _journal_subjects() -> list[str]:
    return ["hf.*.journal.>", "hf.*.telemetry.>"]


def _listening(listen: str, http: str | None) -> list[str]:
    lines = [f"listen: {_quoted(listen)}"]
    if http:
        lines.append(f"http: {_quoted(http)}")
    # By default a black hole is seen after six minutes; so after 15 s. The pulse is faster still.
    return [*lines, 'ping_interval: "5s"', "ping_max: 2", 'write_deadline: "10s"']


def _cluster(node: CloudNode) -> list[str]:
    if not node.cluster_listen:
        return []
    routes = ", ".join(f"nats-route://{address}" for address in node.routes)
    return [
        f"cluster {{ name: cloud, listen: {_quoted(node.cluster_listen)}, routes: [{routes}] }}"
    ]


def _jetstream(store_dir: Path, domain: str, memory_max: str, file_max: str) -> str:
    """Fsync before every acknowledgement, in the cloud too: its copies confirm what a site may trim."""
    return (
        f"jetstream {{ store_dir: {_quoted(store_dir)}, domain: {_quoted(domain)}, "
        f"max_mem: {memory_max}, max_file: {file_max}, sync_interval: always }}"
    )


def _system_users(password: str) -> str:
    return f"  SYS {{ users: [ {{ user: sys, password: {_quoted(password)} }} ] }}"


def _quoted(value: str | Path) -> str:
    return json.dumps(str(value))


def _list(values: list[str]) -> str:
    return f"[{', '.join(_quoted(value) for value in values)}]"
