"""What ocpp-edge needs to know."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from holdfast.settings import ServiceConfig


class Config(ServiceConfig):
    host: str = "127.0.0.1"
    """Where charge points connect."""
    port: int = Field(ge=0, le=65535)
    """For security profiles 0 and 1: without TLS, so for a protected network only. 0: any free one (tests)."""
    serve_without_tls: bool = True
    """False: `port` is not opened."""
    tls_port: int = Field(0, ge=0, le=65535)
    """For security profiles 2 and 3. 0: not opened."""
    certificate_file: Path | None = None
    """PEM: the server's certificate, and what leads from it to what charge points trust. It, the key, the
    CA and the CRL are looked at every two seconds: new connections get what stands there then.
    """
    key_file: Path | None = None
    """PEM, not encrypted."""
    client_ca_file: Path | None = None
    """PEM: who issues this site's charge points their certificates. None: no profile 3."""
    client_crl_file: Path | None = None
    """PEM or DER: which certificates of those were taken back, a CRL of each CA in `client_ca_file`. Whoever shows
    one is refused, and disconnected when it comes to stand there. None: none are.
    """
    client_organisation: str | None = None
    """What a client certificate must say as its organisation (O); None: whatever it says."""
    tls_rsa_key_exchange: bool = False
    """Take the two suites without forward secrecy, too: some charge points of OCPP 1.6 have no others."""
    identities: Literal["plain", "any"] = "plain"
    """plain: letters, digits and * = + | @ . _ - between them, 48 at most, as OCPP 2.x has it; any: whatever is
    percent-encoded UTF-8.
    """
    path_prefix: str = Field("/ocpp", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """A charge point connects to `<path_prefix>/<its identity, percent-encoded>`."""
    charge_points_file: Path
    """Registry: {"CP-01": {"password_scrypt": "...", "security_profile": 1}}. Read again when it changes."""

    onboarding: bool = False
    """Let charge points that are not registered wait inside until an operator accepts or rejects them."""
    onboarding_max: int = Field(16, ge=1, le=1_000)
    """Waiting at a time; further ones are refused like anybody who is not known."""
    onboarding_interval_s: int = Field(60, ge=5, le=86_400)
    """After so long one that waits says again that it is there."""

    heartbeat_s: int = Field(300, ge=1, le=86_400)
    """What a charge point is told at boot."""
    ping_interval_s: int = Field(20, ge=1)
    """Below any charge point's attempts x retry interval (OCPP-J errata 3.9), and below NAT time-outs."""
    ping_timeout_s: int = Field(20, ge=1)
    handshake_s: int = Field(10, ge=1)
    """From the first byte to the upgrade, password included."""
    handshakes_at_once: int = Field(256, ge=1)
    """From the request to the first answer; the others wait in the order they came. Enough for whole batches of
    facts (ADR 0019), and few enough that those who came first are served first.
    """
    handshakes_waiting_max: int = Field(2_000, ge=0)
    """Further ones, and who would wait for over 0.8 of handshake_s, are answered 503 with Retry-After."""
    half_open_max: int = Field(2_000, ge=1)
    """Connections without a whole request; beyond it the one that waits longest is dropped."""
    frame_s: int = Field(10, ge=2)
    """From the first byte of a message to its last; else the connection is closed. An idle one stays."""
    takeover_ping_s: int = Field(5, ge=1, le=5)
    """How long an old connection may take to answer when another comes under its identity."""
    second_connection: Literal["refuse", "replace"] = "refuse"
    """What becomes of that other one while the old one is alive. Either is told; a dead one is replaced."""
    alive_for_s: int = Field(600, ge=1)
    """An old connection that answers pings, but has said nothing for so long, counts as dead: twice the
    heartbeat and more.
    """
    frame_bytes_max: int = Field(64 * 1024, ge=1024, le=64 * 1024)
    """A larger frame closes the connection with 1009."""
    frames_per_s: int = Field(50, ge=1, le=1_000_000)
    """Of one charge point, 4 KiB each at most; above it, its socket is read more slowly."""
    frames_burst: int = Field(250, ge=1, le=1_000_000)
    """So many more at once, as when an offline queue comes in."""
    authorize_per_min: int = Field(60, ge=1, le=60_000_000)
    authorize_burst: int = Field(30, ge=1, le=1_000_000)
    connections_max: int = Field(2_000, ge=1)
    """Open at a time; further handshakes are answered 503."""

    authorise_ms_max: int = Field(8_000, ge=500)
    """How long rule-service is asked about a driver token before the socket is closed."""
    relay_ms_max: int = Field(8_000, ge=500, le=25_000)
    """How long the CSMS is waited for where only it can answer; then the charge point gets a refusal."""
    transaction_ms_max: int = Field(9_000, ge=500)
    """A transactional message not acknowledged after so long: the socket is closed, so that the charge
    point keeps it. Charge points give up after 10 s and more."""
    answer_ms_max: int = Field(30_000, ge=500)
    """How long a charge point may take to answer a command before it is uncertain."""
    commands_max: int = Field(64, ge=1)
    """Waiting for one charge point; further ones are refused."""
    snapshot_every_ms: int = Field(10_000, ge=100, le=20_000)
    """Below the 30 s after which the journal hands unacknowledged entries out again."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.tls_port and not (self.certificate_file and self.key_file):
            raise ValueError("tls_port needs certificate_file and key_file")
        if self.client_crl_file and not self.client_ca_file:
            raise ValueError("client_crl_file needs client_ca_file")
        if not (self.tls_port or self.serve_without_tls):
            raise ValueError("no door is open: set tls_port, or serve_without_tls = true")
        return self
