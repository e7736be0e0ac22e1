"""Goal: a charge point of 1.6 answers the security whitepaper's commands, keeps certificates over a reboot, and says
how its logs and its signed firmware go.

Method: the shipped process against a small central system on a real socket.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from holdfast_simulators.charge_points.body.certificates import PEM, serial_of

ROOT = f"{PEM}\nroot\n-----END CERTIFICATE-----"
KIND = "CentralSystemRootCertificate"
ACCEPTED = {"status": "Accepted"}
SIGNED = "SignedFirmwareStatusNotification"


def firmware(request=4, signature="c2lnbmVk", certificate=ROOT):
    return {
        "requestId": request,
        "firmware": {
            "location": "https://example.test/v2.bin",
            "retrieveDateTime": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
            "signingCertificate": certificate,
            "signature": signature,
        },
    }


def said(csms, action):
    return [one.payload for one in csms.of(action)]


async def test_certificates_are_installed_told_over_a_reboot_and_deleted(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        asked = {"certificateType": KIND}
        tell = "GetInstalledCertificateIds"
        assert await csms.order("CP-1", tell, asked) == {"status": "NotFound"}
        install = {"certificateType": KIND, "certificate": ROOT}
        assert await csms.order("CP-1", "InstallCertificate", install) == ACCEPTED
        wrong = {**install, "certificate": "nothing of the kind"}
        assert await csms.order("CP-1", "InstallCertificate", wrong) == {"status": "Rejected"}
        await program.tell("reboot", charge_point="CP-1", kind="power-loss")
        await program.event("rebooting")
        await program.event("online")
        told = await csms.order("CP-1", tell, asked)
        (found,) = told["certificateHashData"]
        assert found["serialNumber"] == serial_of(ROOT)
        delete = {"certificateHashData": found}
        assert await csms.order("CP-1", "DeleteCertificate", delete) == ACCEPTED
        assert await csms.order("CP-1", "DeleteCertificate", delete) == {"status": "NotFound"}
        chain = {"certificateChain": ROOT}
        assert await csms.order("CP-1", "CertificateSigned", chain) == ACCEPTED


async def test_a_log_is_uploaded_under_its_request(csms, charge_points):
    async with charge_points(upkeep_s=0.2) as program:
        await program.event("online")
        wanted = {
            "logType": "SecurityLog",
            "requestId": 7,
            "log": {"remoteLocation": "ftp://example.test/up"},
        }
        answer = await csms.order("CP-1", "GetLog", wanted)
        assert answer["status"] == "Accepted"
        action = "LogStatusNotification"
        await csms.until(lambda: len(said(csms, action)) == 2)
        assert said(csms, action) == [
            {"status": "Uploading", "requestId": 7},
            {"status": "Uploaded", "requestId": 7},
        ]
        assert said(csms, "DiagnosticsStatusNotification") == []


async def test_signed_firmware_is_verified_before_it_is_installed(csms, charge_points):
    async with charge_points(upkeep_s=0.3) as program:
        await program.event("online")
        assert await csms.order("CP-1", "SignedUpdateFirmware", firmware()) == ACCEPTED
        for status in ("Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed"):
            await program.event("notice", status=status)
        await csms.until(
            lambda: [one["status"] for one in said(csms, SIGNED)][-1:] == ["Installed"]
        )
        assert {one["requestId"] for one in said(csms, SIGNED)} == {4}
        await csms.until(lambda: said(csms, "SecurityEventNotification") != [])
        assert said(csms, "SecurityEventNotification")[0]["type"] == "FirmwareUpdated"


async def test_firmware_with_a_wrong_signature_is_not_installed_and_said(csms, charge_points):
    async with charge_points(upkeep_s=0.05) as program:
        await program.event("online")
        no = {"status": "InvalidCertificate"}
        unsigned = firmware(certificate="none")
        assert await csms.order("CP-1", "SignedUpdateFirmware", unsigned) == no
        forged = firmware(signature="invalid")
        assert await csms.order("CP-1", "SignedUpdateFirmware", forged) == ACCEPTED
        await csms.until(lambda: said(csms, "SecurityEventNotification") != [])
        assert said(csms, "SecurityEventNotification")[0]["type"] == "InvalidFirmwareSignature"
        assert said(csms, SIGNED)[-1] == {"status": "InvalidSignature", "requestId": 4}


async def test_a_charge_point_is_triggered_to_ask_for_a_certificate(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        trigger = {"requestedMessage": "SignChargePointCertificate"}
        assert await csms.order("CP-1", "ExtendedTriggerMessage", trigger) == ACCEPTED
        await csms.until(lambda: said(csms, "SignCertificate") != [])
        trigger = {"requestedMessage": "LogStatusNotification"}
        assert await csms.order("CP-1", "ExtendedTriggerMessage", trigger) == ACCEPTED
        await csms.until(lambda: said(csms, "LogStatusNotification") == [{"status": "Idle"}])
        trigger = {"requestedMessage": "Nonsense"}
        no = {"status": "NotImplemented"}
        assert await csms.order("CP-1", "ExtendedTriggerMessage", trigger) == no
