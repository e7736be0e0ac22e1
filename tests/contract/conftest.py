"""Says which nats-server the contract suite ran on, and is more patient with it than a service is."""

import pytest

from holdfast.nats_bus import api, appending, connection
from holdfast_testkit.nats_server import describe_backend


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for some seconds is no answer of the server's."""
    monkeypatch.setattr(api, "API_MS", 30_000)
    monkeypatch.setattr(appending, "ACK_MS", 15_000)
    monkeypatch.setattr(connection, "HEARD_MS", 30_000)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if "[nats]" in report.nodeid
    ]
    if ran:
        terminalreporter.write_line(f"nats-server: {describe_backend()}")
