"""One holder per world: whoever provisions or runs it. The kernel lets go when the holder dies in whatever way."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast_cli.provision.layout import ProvisionError


@contextmanager
def held(root: Path) -> Iterator[None]:
    """Raise ProvisionError when somebody else holds it. The file stays: a deleted lock would be two locks."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "world.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProvisionError(
                f"{root} is running: stop it first, or choose another --world"
            ) from None
        yield
