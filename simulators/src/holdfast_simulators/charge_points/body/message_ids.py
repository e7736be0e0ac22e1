"""Message ids: fresh ones, or one pseudo-random sequence that starts anew with every boot."""

from __future__ import annotations

import random
import uuid

from holdfast_simulators.charge_points.body.config import ChargePointConfig


class MessageIds:
    def __init__(self, config: ChargePointConfig) -> None:
        self._seed = config.id
        self._is_repeating = config.behaviour.message_ids == "repeating"
        self._random = random.Random(self._seed)

    def boot(self) -> None:
        self._random = random.Random(self._seed)

    def fresh(self) -> str:
        if self._is_repeating:
            return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        return str(uuid.uuid4())
