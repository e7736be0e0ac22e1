"""The doors of a site as a charge point meets them: real sockets, real TLS, certificates made for the occasion.

doors = await new_doors(); async with doors.dial("CP-1", profile=2) as client: ...
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from holdfast.clock import SystemClock
from holdfast.ocpp.versions import OcppVersion
from holdfast.passwords import hash_password
from holdfast_testkit.eventually import eventually

PASSWORD = "a-password-of-20-ch."
DAY = timedelta(days=1)


class Authority:
    """A certificate authority, and what it signs."""

    def __init__(self, name, above=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        signer = above or self
        self.name = _name(name)
        self.above = above
        builder = _builder(self.name, signer.name, self.key, -DAY, 3650 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, *, kind="ec", since=-DAY, until=365 * DAY):
        """PEM of certificate and key."""
        key = _key(kind)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        builder = _builder(_name("door"), self.name, key, since, until).add_extension(names, False)
        return self._signed(builder, key, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, common_name, *, organisation=None, since=-DAY, until=365 * DAY):
        key = _key("ec")
        builder = _builder(_name(common_name, organisation), self.name, key, since, until)
        return self._signed(builder, key, ExtendedKeyUsageOID.CLIENT_AUTH)

    def crl(self, *revoked, until=30 * DAY, delta=False):
        """PEM; `revoked`: certificates of its own, each as `client` gave it."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(now - 40 * DAY).next_update(now + until)
        for chain, _ in revoked:
            serial = x509.load_pem_x509_certificate(chain).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - DAY).build())
        if delta:
            builder = builder.add_extension(x509.DeltaCRLIndicator(1), True)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _signed(self, builder, key, purpose):
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        certificate = builder.sign(self.key, hashes.SHA256())
        chain = certificate.public_bytes(serialization.Encoding.PEM)
        if self.above:
            chain += self.pem
        return chain, key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def _key(kind):
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name, organisation=None):
    parts = [(NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATION_NAME, organisation)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def _builder(subject, issuer, key, since, until):
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
    )


class Doors:
    """One site with both of its listeners open."""

    def __init__(self, place, folder):
        self.place = place
        self.folder = folder
        self.version = OcppVersion.V16
        """That charge points speak, unless they are told otherwise."""
        self.ca = Authority("site berlin01")
        self.write("ca.pem", self.ca.pem)
        self.serve_with(*self.ca.server())

    def write(self, name, data):
        """As an operator does: another file in its place, later than the one before."""
        path = self.folder / name
        beside = self.folder / f"{name}.new"
        beside.write_bytes(data)
        beside.replace(path)
        return path

    def serve_with(self, certificate, key):
        self.write("server.pem", certificate)
        self.write("server.key", key)

    def register(self, **charge_points):
        """Identity (`_` for `-`) and entry of each; the password is everybody's."""
        entries = {
            name.replace("_", "-"): {"password_scrypt": PASSWORD_HASH, **entry}
            for name, entry in charge_points.items()
        }
        self.write("charge-points.json", json.dumps(entries).encode())

    async def open(self, **changes):
        place = self.place
        place.port, self.tls_port = free_port(), free_port()
        settings = {
            "port": place.port,
            "tls_port": self.tls_port,
            "certificate_file": self.folder / "server.pem",
            "key_file": self.folder / "server.key",
            "client_ca_file": self.folder / "ca.pem",
            "takeover_ping_s": 1,
            **changes,
        }
        place.begin(sockets=True, **settings)
        plain = [place.port] if changes.get("serve_without_tls", True) else []
        for port in (*plain, self.tls_port):
            await eventually(partial(is_listening, port))

    def client_tls(self, certificate=None, *, until=None, suites=None, verify=True):
        """A charge point's end of TLS; `certificate`: PEM of it and of its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if until is not None:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = until
        if suites:
            context.set_ciphers(suites)
        if verify:
            context.load_verify_locations(cadata=self.ca.pem.decode())
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            path = self.write("charge-point.pem", b"".join(certificate))
            context.load_cert_chain(path)
        return context

    def dial(
        self, identity="CP-1", password=PASSWORD, *, path=None, tls=None, local=None, **options
    ):
        """`tls`: over wss with this context. `password` None: shows none."""
        host = "localhost" if tls else "127.0.0.1"
        port = self.tls_port if tls else self.place.port
        scheme = "wss" if tls else "ws"
        headers = {} if password is None else authorization(identity, password)
        options = {
            "subprotocols": [f"ocpp{self.version}"],
            "additional_headers": headers,
            "compression": None,
            "proxy": None,
            "family": socket.AF_INET,
            **({"local_addr": (local, 0)} if local else {}),
            **({"ssl": tls} if tls else {}),
            **options,
        }
        return connect(f"{scheme}://{host}:{port}{path or f'/ocpp/{identity}'}", **options)

    async def refused(self, *arguments, **options):
        """The answer to a handshake that must fail."""
        with pytest.raises(InvalidStatus) as refusal:
            async with self.dial(*arguments, **options):
                pass
        return refusal.value.response

    def counted(self, name, **labels):
        return self.place.health.registry.get_sample_value(f"holdfast_ocpp_{name}", labels) or 0

    def failures(self, reason):
        return self.counted("auth_failures_total", reason=reason)


PASSWORD_HASH = hash_password(PASSWORD)


def authorization(user, password):
    password = password if isinstance(password, bytes) else password.encode()
    return {"Authorization": "Basic " + b64encode(user.encode() + b":" + password).decode()}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def is_listening(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.fixture
def call():
    async def call(client, action="Heartbeat", payload=None, message_id="m"):
        await client.send(json.dumps([2, message_id, action, payload or {}]))
        return json.loads(await client.recv())

    return call


@pytest.fixture
def authority():
    return Authority


@pytest.fixture
async def doors(new_place, tmp_path):
    """Not yet open: `register`, then `await doors.open()`."""
    place = await new_place(SystemClock())
    doors = Doors(place, tmp_path)
    doors.register(CP_1={}, CP_2={})
    yield doors
    if place._life:
        await place.kill()
