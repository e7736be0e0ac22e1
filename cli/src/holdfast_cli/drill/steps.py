"""What a scenario does, and when: into the charge points, the WAN, the world, the API, the CSMS behind it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from holdfast.contracts.command import Action
from holdfast_cli.drill import quirk
from holdfast_cli.provision.layout import CLOUD, CLOUD_SERVICES, SITE_SERVICES

PROCESSES = (
    *(f"site/{name}" for name in ("nats", *SITE_SERVICES)),
    *(f"{CLOUD}/{name}" for name in ("nats", *CLOUD_SERVICES)),
)
"""What `kill` takes: the product's own. The WAN is cut, a charge point rebooted, the CSMS goes down."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(Part):
    at_s: float = Field(ge=0, le=86_400)
    """Since the site was first connected."""

    def sentence(self) -> str:
        """For the timeline."""
        raise NotImplementedError


class Plug(Step):
    do: Literal["plug"]
    charge_point: str
    connector: int = Field(1, ge=1)
    driver_token: str

    def sentence(self) -> str:
        return f"a driver plugs in at {self.charge_point}/{self.connector} with {self.driver_token}"


class Stop(Step):
    do: Literal["stop"]
    charge_point: str
    connector: int = Field(1, ge=1)

    def sentence(self) -> str:
        return f"the driver at {self.charge_point}/{self.connector} stops"


class Reboot(Step):
    do: Literal["reboot"]
    charge_point: str
    kind: Literal["soft", "power-loss"] = "soft"

    def sentence(self) -> str:
        return f"{self.charge_point} reboots ({self.kind})"


class DropLink(Step):
    do: Literal["drop-link"]
    charge_point: str

    def sentence(self) -> str:
        return f"{self.charge_point} loses its own connection"


class LoseAnswer(Step):
    """The next command of that action is obeyed, and its answer is lost with the charge point's connection."""

    do: Literal["lose-answer"]
    charge_point: str
    action: Action

    def sentence(self) -> str:
        return f"{self.charge_point} will lose its connection before it answers {self.action}"


class Hostile(Step):
    """One more charge point, beyond those of the scenario, sends what none should: `holdfast-sim hostile`."""

    do: Literal["hostile"]
    checks: tuple[Literal["S11", "S12", "S13", "S18"], ...] = ("S11", "S12", "S13", "S18")
    """Those that begin no session: the oracle knows only of sessions that cars had."""
    version: Literal["1.6", "2.0.1", "2.1"] = "1.6"
    """Of OCPP."""
    rounds: int = Field(1, ge=1, le=100)
    flood_s: float = Field(5, ge=0, le=60)

    def sentence(self) -> str:
        return f"a hostile charge point of {self.version} begins: {', '.join(self.checks)}"


class Disruption(Step):
    """Of the WAN."""

    after_answers: tuple[str, ...] = ()
    """Ids of `csms-call`s that have their answer first: on a busy machine that takes longer than a scenario thinks."""


class Cut(Disruption):
    do: Literal["cut"]
    how: Literal["reset", "black-hole", "one-way"]
    direction: Literal["up", "down"] = "up"

    def sentence(self) -> str:
        direction = f" {self.direction}" if self.how == "one-way" else ""
        return f"the WAN is cut: {self.how}{direction}"


class Flap(Disruption):
    do: Literal["flap"]
    up_s: float = Field(gt=0)
    down_s: float = Field(gt=0)
    how: Literal["reset", "black-hole"] = "reset"

    def sentence(self) -> str:
        return f"the WAN flaps ({self.how}): {self.up_s:g} s up, {self.down_s:g} s down"


class Slow(Disruption):
    do: Literal["slow"]
    delay_ms: int = Field(0, ge=0)
    bytes_per_s: int | None = Field(None, ge=1)

    def sentence(self) -> str:
        return f"the WAN is slow: {self.delay_ms} ms, {self.bytes_per_s or 'any'} bytes/s"


class Heal(Step):
    do: Literal["heal"]

    def sentence(self) -> str:
        return "the WAN is whole again"


class Kill(Step):
    """SIGKILL; the supervisor starts it again."""

    do: Literal["kill"]
    process: str
    """As `site/ocpp-edge`, `cloud/journal`, `site/nats`: `site` stands for the drill's site."""
    for_s: float = Field(0, ge=0, le=3_600)
    """It stays dead so long, beyond what a supervisor takes anyway."""

    @field_validator("process")
    @classmethod
    def _known(cls, process: str) -> str:
        if process not in PROCESSES:
            raise ValueError(f"there is no process {process!r}: use one of {', '.join(PROCESSES)}")
        return process

    def sentence(self) -> str:
        stays = f", and it stays dead for {self.for_s:g} s" if self.for_s else ""
        return f"SIGKILL to {self.process}{stays}"


class Wipe(Step):
    """The site's disk is lost; it comes back bare."""

    do: Literal["wipe"]

    def sentence(self) -> str:
        return "the site's disk is lost and replaced by a bare one"


Where = Literal["cloud", "operator at site"]
OPERATORS_NAME = "drill"
OfTransaction = Annotated[str, Field(pattern=r"^CP-[0-9]{2,3}/[1-4]$")]
"""`CP-01/2`: the newest transaction of that connector. Its id stands in nobody's scenario, since it is given while
it is played: by the site to a charge point, by the CSMS to its own transaction."""


class SendCommand(Step):
    do: Literal["command"]
    by: Where = "cloud"
    id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    charge_point: str
    action: Action
    payload: dict[str, Any]
    transaction_of: OfTransaction | None = None
    """Fills in `transactionId`."""
    deadline_s: float = Field(gt=0)

    def sentence(self) -> str:
        return (
            f"{self.by} sends {self.action} to {self.charge_point} "
            f"({self.id}, good for {self.deadline_s:g} s)"
        )


class PublishRules(Step):
    """A bundle on its way to the site: the scenario's rules with `rules` laid over them, under a version of its own."""

    do: Literal["publish-rules"]
    id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    how: Literal["good", "tampered", "older", "wrong-site", "unknown-clause", "foreign-key"] = (
        "good"
    )
    """`good` goes the product's way. All others are put straight into DOWNLINK with the cloud's credentials, as
    whoever has these, or a publisher that is broken, would: `tampered` was altered after it was signed, `foreign-key`
    is well signed by somebody unknown, the rest is well signed and wrong."""
    rules: dict[str, Any] = Field(default_factory=dict)

    def sentence(self) -> str:
        if self.how == "good":
            return f"the cloud publishes newer rules ({self.id})"
        return f"rules that the site must refuse are put before it: {self.how} ({self.id})"


class SayWord(Step):
    """An operator's word about a command that waits for one."""

    do: Literal["command-word"]
    id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    """Of the command."""
    word: Literal["confirm", "cancel"]
    by: Where = "cloud"

    def sentence(self) -> str:
        return f"{self.by}: {self.word} {self.id}"


class CsmsDown(Step):
    """Every connection is closed, new ones are refused."""

    do: Literal["csms-down"]

    def sentence(self) -> str:
        return "the CSMS goes down"


class CsmsUp(Step):
    do: Literal["csms-up"]

    def sentence(self) -> str:
        return "the CSMS is up again"


class CsmsRestart(Step):
    """It forgets what is not in its ledger."""

    do: Literal["csms-restart"]

    def sentence(self) -> str:
        return "the CSMS restarts"


class CsmsQuirk(Step):
    do: Literal["csms-quirk"]
    quirk: dict[str, Any]
    """As `simulators/README.md` has it: `{name: lose_answer, action: StartTransaction, count: 1}`."""

    @field_validator("quirk")
    @classmethod
    def _holds(cls, given: dict[str, Any]) -> dict[str, Any]:
        """As the simulated CSMS will read it."""
        quirk.check(given)
        return given

    def sentence(self) -> str:
        rest = ", ".join(f"{key} {value}" for key, value in self.quirk.items() if key != "name")
        return f"the CSMS from now on: {self.quirk['name']}" + (f" ({rest})" if rest else "")


class CsmsCalm(Step):
    do: Literal["csms-calm"]

    def sentence(self) -> str:
        return "the CSMS behaves again"


class CsmsCall(Step):
    """Sent by the CSMS itself on the connection that the charge point has there."""

    do: Literal["csms-call"]
    id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    charge_point: str
    action: str = Field(min_length=1, max_length=50)
    """Any: also one that a site does not carry out must be answered."""
    payload: dict[str, Any] = Field(default_factory=dict)
    transaction_of: OfTransaction | None = None
    """Fills in `transactionId`, as the CSMS knows it."""

    def sentence(self) -> str:
        return f"the CSMS sends {self.action} to {self.charge_point} ({self.id})"


CsmsStep = CsmsDown | CsmsUp | CsmsRestart | CsmsQuirk | CsmsCalm | CsmsCall
AnyStep = Annotated[
    Plug
    | Stop
    | Reboot
    | DropLink
    | LoseAnswer
    | Hostile
    | Cut
    | Flap
    | Slow
    | Heal
    | Kill
    | Wipe
    | SendCommand
    | PublishRules
    | SayWord
    | CsmsStep,
    Field(discriminator="do"),
]
