"""A site's whole journal, read through the API page after page, with a word on the way."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from holdfast.contracts.envelope import Envelope, first_problem
from holdfast_cli.operator.client import Client
from holdfast_cli.operator.problem import OperatorError


class Progress:
    """On standard error, in one line that renews itself; nothing where nobody watches."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def says(self, how_far: str) -> None:
        if self._shown:
            print(f"\r\x1b[K{self._what}: {how_far}", end="", file=sys.stderr, flush=True)


async def envelopes(
    client: Client, site: str, progress: Progress
) -> AsyncIterator[tuple[int, Envelope]]:
    """In order, with their sequence. Raise OperatorError: a journal that can't be read whole proves nothing."""
    count = 0
    async for page in client.pages("sites", site, "events"):
        for row in page["events"]:
            try:
                envelope = Envelope.model_validate({**row, "site": site})
            except ValidationError as error:
                raise OperatorError(
                    f"the journal of {site} has an event that can't be read: {first_problem(error)}"
                ) from error
            yield int(row["seq"]), envelope
        count += len(page["events"])
        progress.says(f"{count} events")
