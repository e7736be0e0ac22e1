"""A port that was given to a world is nobody else's, though nothing listens there yet."""

import socket
import subprocess
import sys

from holdfast_cli.provision import ports

CLAIM = "import sys; from holdfast_cli.provision.ports import claim; print(claim(int(sys.argv[1])))"


def claimed_elsewhere(port: int) -> str:
    words = [sys.executable, "-c", CLAIM, str(port)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_no_connection_that_goes_out_is_given_one_of_them(monkeypatch, tmp_path):
    given_out = tmp_path / "range"
    given_out.write_text("11500\t60999\n")
    monkeypatch.setattr(ports, "GIVEN_OUT", given_out)
    with ports.free_ports(50) as some:
        assert all(ports.LOWEST <= port < 11_500 for port in some)
        assert len(set(some)) == 50


def test_another_process_has_it_only_after_this_one():
    with ports.free_ports(1) as (port,):
        assert ports.claim(port), "it is ours already"
        assert claimed_elsewhere(port) == "False"
    assert claimed_elsewhere(port) == "True"
    assert ports.claim(port), "that process has ended, whatever it did with its claim"
    ports.release(port)


def test_one_that_somebody_listens_on_is_passed_over(monkeypatch):
    with ports.free_ports(1) as (taken,), socket.create_server(("127.0.0.1", taken)):
        ports.release(taken)
        monkeypatch.setattr(ports, "LOWEST", taken)
        monkeypatch.setattr(ports, "_beyond", lambda: taken + 40)
        with ports.free_ports(20) as some:
            assert taken not in some
