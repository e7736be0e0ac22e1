"""A scenario: who is at the site, what happens when, and what must be true at the end. Read from YAML."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_serializer, field_validator, model_validator

from holdfast.standing import parse_rules
from holdfast_cli.drill import bridge
from holdfast_cli.drill.behaviour import Behaviour
from holdfast_cli.drill.bundles import bundles
from holdfast_cli.drill.problem import WHOLE, problem, yaml_problem
from holdfast_cli.drill.quirk import EVERY
from holdfast_cli.drill.steps import (
    AnyStep,
    CsmsCall,
    CsmsQuirk,
    Hostile,
    Part,
    PublishRules,
    SayWord,
    SendCommand,
)
from holdfast_cli.provision.rules import laid_over_default

SCENARIO_BYTES_MAX = 1 << 20
ModeName = Literal["connected", "degraded", "autonomous", "recovery"]
DispositionName = Literal[
    "delivered",
    "refused",
    "expired",
    "superseded",
    "obsolete",
    "uncertain",
    "from known",
]


class ScenarioError(Exception):
    """A scenario that can't be played: names file, field and remedy."""


class ChargePoint(Part):
    id: str
    version: Literal["1.6", "2.0.1", "2.1"] = "1.6"
    """Of OCPP."""
    security_profile: Literal[1, 2, 3] = 1
    """OCPP's: 1 password, 2 TLS and password, 3 TLS and the charge point's certificate."""
    connectors: int = Field(1, ge=1, le=4)
    """1.6: connectors. 2.x: EVSEs, of one connector each."""
    vendor: str = Field("Holdfast", max_length=20)
    model: str = Field("Sim-1", min_length=1, max_length=20)
    behaviour: Behaviour = Behaviour()

    @field_serializer("behaviour")
    def _only_what_was_given(self, behaviour: Behaviour) -> dict[str, Any]:
        """Not by `exclude_none`: a null `ping_s` that was given means never."""
        return behaviour.model_dump(exclude_unset=True)


class Csms(Part):
    """Laid over the simulated CSMS's configuration; what is left out stays as provisioned."""

    kind: Literal["plain", "steve", "citrineos"] = "plain"
    """Whose habits it has."""
    quirks: dict[str, Any] = Field(default_factory=dict)
    """As `simulators/README.md` has them: name to value."""

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class ExpectRules(Part):
    """What becomes of the scenario's `publish-rules` steps, by their ids."""

    activated: dict[str, tuple[ModeName, ...]] = Field(default_factory=dict)
    """The modes in which it may have been activated, after it was published. No other bundle may be."""
    refused: dict[str, str] = Field(default_factory=dict)
    """What the site's reason, or its kind, must say."""


class Expect(Part):
    modes: tuple[ModeName, ...] | None = None
    """The exact mode history from the first connected on; None: it must begin and end connected."""
    seconds_to_degraded_max: float | None = 15
    seconds_to_autonomous_max: float | None = 30
    reconciled_within_s: float = Field(120, gt=0)
    """After the last heal."""
    calm: bool = False
    """At most two mode changes in any minute, but for those to autonomous: an unstable link must not be followed at
    every turn, and nothing may hold up the end of a good one."""
    refused_drivers_min: int = 0
    dispositions: dict[str, DispositionName] = Field(default_factory=dict)
    """Command id to how it must have ended."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Command id to a text that must stand in the reason of its end."""
    gaps: bool = False
    """A wiped disk: what it took must be named; nothing else may be missing."""
    open_points: tuple[str, ...] = ()
    """What may be left open, and must be: each point has one of these texts in it."""
    csms_answers: dict[str, str] = Field(default_factory=dict)
    """Id of a `csms-call` to the status, or the error code, that the CSMS was answered with."""
    csms_differences: bool = False
    """The CSMS's ledger must differ from the oracle's: a CSMS that does what no bridge can mend."""
    rules: ExpectRules = ExpectRules()


class Scenario(Part):
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    summary: str
    rules: dict[str, Any] = Field(default_factory=dict)
    """Laid over the default bundle."""
    csms: Csms = Csms()
    bridge: dict[str, Any] = Field(default_factory=dict)
    """Laid over the short times that the csms-bridge has in a drill."""
    charge_points: tuple[ChargePoint, ...] = Field(min_length=1, max_length=200)
    steps: tuple[AnyStep, ...] = Field(min_length=1, max_length=10_000)
    expect: Expect = Expect()

    @field_validator("rules")
    @classmethod
    def _rules_hold(cls, rules: dict[str, Any]) -> dict[str, Any]:
        """As the site will read them; raise ContractError."""
        parse_rules(laid_over_default(rules))
        return rules

    @model_validator(mode="after")
    def _bundles_fit(self) -> Scenario:
        """Composed as they will be; raise ContractError for a good one that the cloud would not take."""
        for bundle in bundles(self.rules, self.ordered).values():
            if bundle.how == "good":
                parse_rules(bundle.text)
        named = {*self.expect.rules.activated, *self.expect.rules.refused}
        known = {step.id for step in self.steps if isinstance(step, PublishRules)}
        if none := next(iter(named - known), None):
            raise ValueError(
                f"expect.rules: no publish-rules has the id {none!r}: correct it, or add the step"
            )
        return self

    @field_validator("bridge")
    @classmethod
    def _bridge_holds(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """As the csms-bridge will read them."""
        bridge.laid_over(settings)
        return settings

    @model_validator(mode="after")
    def _steps_fit(self) -> Scenario:
        connectors = {it.id: it.connectors for it in self.charge_points}
        for number, step in enumerate(self.steps):
            named = _charge_point_of(step)
            if named is None:
                continue
            if named not in connectors:
                raise ValueError(
                    f"steps.{number}.charge_point: {named!r} is no charge point here: "
                    "add it to charge_points, or correct its name"
                )
            place = getattr(step, "transaction_of", None)
            if place is not None and not _has(connectors, place):
                raise ValueError(
                    f"steps.{number}.transaction_of: there is no connector {place!r} here: correct it"
                )
            if getattr(step, "connector", 1) > connectors[named]:
                raise ValueError(
                    f"steps.{number}.connector: {named} has {connectors[named]} connectors: "
                    "give it more, or take a lower one"
                )
        return self

    @model_validator(mode="after")
    def _commands_fit(self) -> Scenario:
        ids = [step.id for step in self.steps if isinstance(step, SendCommand)]
        if twice := next((it for it in ids if ids.count(it) > 1), None):
            raise ValueError(f"steps: two commands have the id {twice!r}: give each its own")
        words = [step.id for step in self.steps if isinstance(step, SayWord)]
        for where, named in (
            ("expect.dispositions", self.expect.dispositions),
            ("expect.reasons", self.expect.reasons),
            ("steps", words),
        ):
            if none := next((it for it in named if it not in ids), None):
                raise ValueError(
                    f"{where}: no command has the id {none!r}: correct it, or add the command"
                )
        return self

    @model_validator(mode="after")
    def _calls_fit(self) -> Scenario:
        ids = [step.id for step in self.steps if isinstance(step, CsmsCall)]
        if twice := next((it for it in ids if ids.count(it) > 1), None):
            raise ValueError(f"steps: two csms-calls have the id {twice!r}: give each its own")
        if none := next((it for it in self.expect.csms_answers if it not in ids), None):
            raise ValueError(
                f"expect.csms_answers: no csms-call has the id {none!r}: correct it, or add the call"
            )
        awaited = [id for step in self.steps for id in getattr(step, "after_answers", ())]
        if none := next((it for it in awaited if it not in ids), None):
            raise ValueError(
                f"steps: after_answers: no csms-call has the id {none!r}: correct it, or add the call"
            )
        return self

    @model_validator(mode="after")
    def _charge_points_numbered(self) -> Scenario:
        known = {charge_point.id for charge_point in self.charge_points}
        numbers = [f"CP-{n:02d}" for n in range(1, len(self.charge_points) + 1)]
        if known != set(numbers):
            raise ValueError(
                f"charge_points: must be called {numbers[0]} to {numbers[-1]}: correct their ids"
            )
        return self

    @property
    def provisioned(self) -> int:
        """Charge points that may connect: the hostile ones are the last of them."""
        return len(self.charge_points) + sum(isinstance(step, Hostile) for step in self.steps)

    @property
    def ordered(self) -> list[AnyStep]:
        return sorted(self.steps, key=lambda step: step.at_s)


def _has(connectors: dict[str, int], place: str) -> bool:
    charge_point, connector = place.split("/")
    return int(connector) <= connectors.get(charge_point, 0)


def _charge_point_of(step: AnyStep) -> Any:
    """None: it is about no certain one."""
    if isinstance(step, CsmsQuirk):
        named = step.quirk.get("charge_point")
        return None if named == EVERY else named
    return getattr(step, "charge_point", None)


def load_scenario(path: Path) -> Scenario:
    """Raise ScenarioError.

    `like: NAME` begins from the shipped scenario of that name: what stands here replaces what stands there, and
    `wan` (a `cut` or `flap` without its time) takes the place of its cut.
    """
    document = _read(path)
    if isinstance(document, dict) and "like" in document:
        document = _laid_over(path, document)
    if not isinstance(document, dict):
        raise ScenarioError(f"{path}: {WHOLE}")
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        raise ScenarioError(f"{path}: {problem(error)}") from error


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > SCENARIO_BYTES_MAX:
            raise ScenarioError(f"{path}: larger than {SCENARIO_BYTES_MAX} bytes: split it")
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise ScenarioError(
            f"{path}: can't be read ({error.strerror}): give --scenario FILE"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ScenarioError(f"{path}: is not YAML: {yaml_problem(error)}") from error


def shipped() -> dict[str, Path]:
    """The scenarios that come with Holdfast, by name."""
    folder = Path(str(files("holdfast_cli") / "scenarios"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


OF_A_CUT = ("at_s", "after_answers")
"""What holds for whatever stands in its place."""


def _laid_over(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    known = shipped()
    name = document["like"]
    if not isinstance(name, str) or name not in known:
        raise ScenarioError(
            f"{path}: like: there is no scenario {name!r}: use one of {', '.join(known)}"
        )
    base = _read(known[name])
    wan = document.get("wan")
    if wan is not None and not isinstance(wan, dict):
        raise ScenarioError(f"{path}: wan: must be a step such as {{do: cut, how: black-hole}}")
    steps = [
        {**{key: step[key] for key in OF_A_CUT if key in step}, **wan}
        if wan and step["do"] == "cut"
        else step
        for step in base["steps"]
    ]
    own = {key: value for key, value in document.items() if key not in ("like", "wan")}
    return {**base, "steps": steps, **own}
