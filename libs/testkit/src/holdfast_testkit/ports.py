"""Free ports for what a test itself listens on: no other test, and no connection that goes out, takes them first."""

from holdfast_cli.provision.ports import free_ports

__all__ = ["free_ports"]
