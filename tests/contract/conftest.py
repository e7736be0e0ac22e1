"""Says which nats-server the contract suite ran on."""

import pytest

from holdfast_testkit.nats_server import describe_backend


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if "[nats]" in report.nodeid
    ]
    if ran:
        terminalreporter.write_line(f"nats-server: {describe_backend()}")
