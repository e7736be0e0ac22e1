"""A taken port is said in one line, before anything is started. From then on they are this process's."""

from __future__ import annotations

import socket

from holdfast_cli.provision.layout import ProvisionError, World
from holdfast_cli.provision.ports import claim


def check_ports_free(world: World) -> None:
    for name, port in world.plan.ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                if not claim(port):
                    raise OSError("another process has claimed it")
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise ProvisionError(
                    f"port {port} ({name}) is taken: is this world already running? "
                    f"Stop it, or change the port in {world.root / 'world.json'}"
                ) from error
