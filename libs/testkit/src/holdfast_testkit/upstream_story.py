"""A random journal of one charge point, for whoever tells it upstream: sessions of 1.6 and 2.0.1, every lane."""

from __future__ import annotations

import random
from typing import Any

from holdfast.contracts.envelope import Fact
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit import facts_2x

GUARANTEED = "SecurityEventNotification"
V16, V201 = OcppVersion.V16, OcppVersion.V201


class Story:
    """A journal: sessions on a charge point that comes and goes, over lives of the disk and cuts of the site."""

    def __init__(self, rng: random.Random, facts: Any) -> None:
        """`facts`: makers of those of 1.6."""
        self.rng, self.facts = rng, facts
        self.told: list[tuple[tuple[str, int], Fact, bool]] = []
        """Incarnation and place in it; whether its site was connected."""
        self.life, self.seq, self.live = 0, 0, True
        self.local, self.wh = 0, 0
        self.version = rng.choice([V16, V201])
        self.running: list[tuple[int, OcppVersion]] = []
        self.arrive()
        happens = [self.start] * 2 + [self.meter] * 4 + [self.stop, self.status, self.error]
        happens += [self.come_and_go, self.cut_or_back, self.nothing, self.guaranteed, self.latest]
        for _ in range(rng.randrange(10, 60)):
            self.wh += 1
            rng.choice(happens)()
            if rng.random() < 0.03:
                self.lose_disk()
            if rng.random() < 0.05:
                self.version = rng.choice([V16, V201])
                self.arrive()
        while self.running:
            self.stop()

    def tell(self, fact: Fact) -> None:
        self.seq += self.rng.choice([1, 1, 1, 3])  # between them are facts of others
        self.told.append(((f"life{self.life:04d}", self.seq), fact, self.live))

    def arrive(self) -> None:
        self.tell(self.connected(f"k{self.wh}"))
        self.tell(self.booted())

    def connected(self, connection: str) -> Fact:
        if self.version is V16:
            fact: Fact = self.facts.connected(connection)
            return fact
        return facts_2x.connected(self.version, connection)

    def booted(self) -> Fact:
        model = f"M{self.wh}"
        if self.version is V16:
            fact: Fact = self.facts.booted(model)
            return fact
        return facts_2x.booted(V201, model)

    def start(self) -> None:
        if len(self.running) < 2:
            self.local += 1
            self.running.append((self.local, self.version))
            is_16 = self.version is V16
            own = f"t{self.local}"
            self.tell(self.facts.started(self.local) if is_16 else facts_2x.started(own))

    def meter(self) -> None:
        if self.running:
            local, version = self.rng.choice(self.running)
            left_out = ((self.wh - 1, self.wh - 1),) if self.rng.random() < 0.2 else ()
            self.tell(
                self.facts.metered(local, self.wh)
                if version is V16
                else facts_2x.metered(self.wh, f"t{local}", left_out=left_out)
            )

    def stop(self) -> None:
        if self.running:
            local, version = self.running.pop(0)
            self.tell(
                self.facts.stopped(local, self.wh)
                if version is V16
                else facts_2x.stopped(self.wh + 1, f"t{local}")
            )

    def status(self) -> None:
        word, place = self.rng.choice(["Available", "Charging"]), self.rng.randrange(3)
        is_16 = self.version is V16
        self.tell(self.facts.status(word, place) if is_16 else facts_2x.status(word, place))

    def error(self) -> None:
        if self.version is V16:
            self.tell(self.facts.status("Faulted", 1, error=f"E{self.wh}"))

    def guaranteed(self) -> None:
        self.tell(facts_2x.said(GUARANTEED, self.wh, version=self.version))

    def latest(self) -> None:
        key, version = f"k{self.rng.randrange(2)}", self.version
        self.tell(
            facts_2x.said("LogStatusNotification", self.wh, kind="L", key=key, version=version)
        )

    def come_and_go(self) -> None:
        come = self.connected(self.rng.choice(["k1", "k2"]))
        self.tell(self.rng.choice([self.booted(), self.facts.disconnected(), come]))

    def cut_or_back(self) -> None:
        self.live = not self.live

    def lose_disk(self) -> None:
        self.life, self.seq = self.life + 1, 0
        self.tell(self.connected(f"k{self.life}"))

    def nothing(self) -> None:
        pass
