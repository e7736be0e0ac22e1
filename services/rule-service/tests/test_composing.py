"""Goal: a draft gives each site exactly the clauses that its layers say, or is refused as a whole with the place.

Method: drafts as people write them; Hypothesis lays any clauses over each other in any layers.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import GROUPS_MAX
from holdfast.contracts.rules import Rules
from rule_service.domain.bundle_text import read_rules
from rule_service.domain.clauses import Change, difference
from rule_service.domain.composing import Draft, Plain, leaves, read_source
from rule_service.domain.draft_text import DraftRefused

DRAFT = """\
version: 5
name: autumn
valid_until_ms: 1800000000000
default:
  modes: {pulse_ms: 3000, latch_ms: 10000}
groups:
  motorway:
    sites: [berlin01, munich01]
    rules:
      modes: {latch_ms: 20000}
      authorise:
        autonomous: {unknown: accept-flagged}
      commands:
        Reset: {age_ms_max: 60000}
  depot:
    sites: [munich01]
    rules:
      modes: {latch_ms: 20000}
      after_expiry: safe
sites:
  berlin01:
    modes: {latch_ms: 30000}
    activation: {modes: [connected, degraded]}
    commands: {TriggerMessage: null}
"""


def refused(text, known=frozenset()):
    with pytest.raises(ContractError) as error:
        read_source(text, known)
    return error.value


def draft(version=5, **parts):
    return json.dumps({"version": version, **parts})


def test_the_site_goes_over_its_groups_those_over_the_default_and_that_over_the_built_in_rules():
    source = read_source(DRAFT)
    assert source.sites == ("berlin01", "munich01")
    berlin, munich = (source.composed(site).rules for site in source.sites)
    assert (berlin.site, munich.site) == source.sites
    assert (berlin.version, berlin.name, berlin.valid_until_ms) == (5, "autumn", 1800000000000)
    assert (berlin.modes.pulse_ms, munich.modes.pulse_ms) == (3000, 3000)
    assert (berlin.modes.latch_ms, munich.modes.latch_ms) == (30000, 20000)
    assert (berlin.after_expiry, munich.after_expiry) == ("keep", "safe")
    assert berlin.commands["Reset"].age_ms_max == 60000
    assert berlin.commands["Reset"].modes == Rules(version=1).commands["Reset"].modes
    assert "TriggerMessage" not in berlin.commands
    assert "TriggerMessage" in munich.commands
    assert source.composed("paris01").rules.modes.latch_ms == 10000


def test_the_text_has_every_clause_and_says_which_layer_set_it():
    text = read_source(DRAFT).composed("berlin01").text
    assert "  pulse_ms: 3000  # default\n" in text
    assert "  latch_ms: 30000  # site berlin01\n" in text
    assert "    unknown: accept-flagged  # group motorway\n" in text
    assert "  # TriggerMessage: taken out by site berlin01\n" in text
    assert "  stable_for_ms: 6000\n" in text
    assert "lie: default, group motorway, site berlin01." in text
    written = dict(leaves(yaml.safe_load(text)))
    assert set(written) == set(dict(leaves(read_rules(text).model_dump(mode="json"))))


@pytest.mark.parametrize(
    ("text", "path", "line", "why"),
    [
        (DRAFT.replace("latch_ms: 30000", "lach_ms: 3"), "sites.berlin01.modes.lach_ms", 22, "no such"),
        (DRAFT.replace("pulse_ms: 3000", "pulse_ms: 1"), "default.modes.pulse_ms", 5, "greater"),
        (
            DRAFT.replace("pulse_ms: 3000", "pulse_ms: 60000"),
            "default.modes",
            5,
            "pulse_ms <= degraded_after_ms",
        ),
        (DRAFT.replace("  depot:", "  motorway:"), "", 15, "stands twice"),
        (
            DRAFT.replace("latch_ms: 20000}\n      after", "latch_ms: 1}\n      after"),
            "groups.depot.rules.modes.latch_ms",
            18,
            "munich01 is in group motorway too",
        ),
        (
            DRAFT.replace("after_expiry: safe", "commands: {Reset: null}"),
            "groups.depot.rules.commands.Reset",
            19,
            "munich01 is in group motorway too",
        ),
        (DRAFT + "    version: 9\n", "sites.berlin01.version", 25, "top of the draft"),
        (DRAFT.replace("[berlin01,", "[Berlin 1,"), "groups.motorway.sites.0", 8, "can't name a site"),
        (DRAFT + "  cloud: {}\n", "sites.cloud", 25, "can't name a site"),
        (DRAFT.replace("rules:", "rulez:", 1), "groups.motorway.rulez", 9, "no such"),
        (DRAFT.replace("version: 5", "version: x"), "version", 1, "integer"),
        (DRAFT.replace("name: autumn", "name: ["), "", 4, "not YAML"),
        (DRAFT.replace("{pulse_ms: 3000, latch_ms: 10000}", "null"), "default.modes", 5, "object"),
        (
            DRAFT.replace("{age_ms_max: 60000}", "{modes: [dreaming]}"),
            "groups.motorway.rules.commands.Reset.modes",
            14,
            "autonomous",
        ),
        (
            DRAFT.replace("Reset: {age", "Dance: {age"),
            "groups.motorway.rules.commands.Dance",
            14,
            "missing",
        ),
        (DRAFT.replace("default:\n", "default: 3\n#"), "default", 4, "object"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_refuses_the_whole_draft_and_says_where(text, path, line, why):
    error = refused(text)
    assert isinstance(error, DraftRefused)
    assert (".".join(error.path), error.line) == (path, line)
    assert why in str(error)
    assert f"line {line}" in str(error)


def test_a_site_that_nobody_knows_refuses_the_whole_draft():
    known = frozenset({"berlin01", "munich01"})
    assert read_source(DRAFT, known).sites == ("berlin01", "munich01")
    assert "there is no site 'munich01'" in str(refused(DRAFT, frozenset({"berlin01"})))
    assert "line 26: sites.paris01" in str(refused(DRAFT + "\n  paris01: {}\n", known))


@pytest.mark.parametrize(
    "text",
    [
        "sites: &a {x: *a}",
        "default: [",
        "- sites",
        "3",
        "",
        "version: 1\nsites: {x: &a [1], y: [*a, *a]}",
        "version: 1\ndefault: {1: 2}",
        "version: 1\ndefault: {? [a] : b}",
        "version: 1\nsites: {? {a: b} : {}}",
        "x" * (600 * 1024),
        "version: 1\nsites: " + "{a: " * 500 + "}" * 500,
        "version: 1\ngroups: {a: {sites: x}}",
        "version: 1\nsites: {on: {}}",
        "version: 1\nsites: {a: {}}\n--- {}",
        "version: 1\nsites: {a: {<<: {}}}",
        "version: 1\nname: \x00\nsites: {}",
    ],
)
def test_texts_that_are_no_draft_are_refused(text):
    refused(text)


def test_aliases_that_make_much_of_little_are_refused():
    bomb = "version: 1\nsites:\n  a: &a {x: 1}\n" + "".join(
        f"  a{n}: &a{n} {{x: *a{n - 1 or ''}, y: *a{n - 1 or ''}}}\n" for n in range(1, 40)
    )
    assert "aliases" in str(refused(bomb))


def test_a_plain_bundle_is_written_out_with_every_clause_and_one_that_has_them_stays_as_it_is():
    source = read_source("version: 3 # mine\nsite: berlin01\nmodes: {latch_ms: 7}\n")
    assert isinstance(source, Plain)
    text = source.composed("berlin01").text
    assert read_rules(text) == source.rules
    assert "  latch_ms: 7  # bundle\n" in text
    assert "  stable_for_ms: 6000\n" in text
    written = set(dict(leaves(yaml.safe_load(text))))
    assert written == set(dict(leaves(source.rules.model_dump(mode="json"))))
    whole = text + "# and a word of mine\n"
    assert read_source(whole).composed("berlin01").text == whole
    with pytest.raises(ContractError, match="not 'munich01'"):
        source.composed("munich01")
    with pytest.raises(ContractError, match="plain bundle"):
        source.group("motorway")
    assert "modes.pulze_ms" in str(refused("version: 3\nmodes: {pulze_ms: 3}"))


def test_a_bundle_that_names_few_commands_is_not_given_the_others_when_it_is_written_out():
    row = "{modes: [connected], age_ms_max: 1000}"
    composed = read_source(f"version: 3\ncommands: {{Reset: {row}}}\n").composed("berlin01")
    assert set(read_rules(composed.text).commands) == {"Reset"}
    nothing = read_source("version: 3\ncommands: {}\n").composed("berlin01")
    assert read_rules(nothing.text).commands == {}


@pytest.mark.parametrize(
    "layer", ["default: {%s}", "groups: {g: {rules: {%s}}}", "sites: {a: {%s}}"]
)
def test_a_row_that_no_command_comes_to_can_not_be_taken_out(layer):
    """Else what was meant would go on being allowed."""
    text = "version: 1\n" + layer % "commands: {UpdateFirmwere: null}"
    error = refused(text)
    assert error.line == 2
    assert error.path[-2:] == ("commands", "UpdateFirmwere")
    assert "no action of OCPP" in str(error)
    read_source(text.replace("Firmwere", "Firmware"))


@pytest.mark.parametrize(
    "wrong",
    [
        "protection: {safety: [Resett.Hard]}",
        "commands: {Reset: {modes: [connected], age_ms_max: 0, keys_refused: [A]}}",
        "authorise: {connected: {ask_cloud: true, budget_ms: 9000}}",
        "storage: {retention_ms: 1000000000000000000000000}",
        "storage: {journal_bytes_max: 1000000000000000000000000000}",
        "valid_until_ms: -5",
        "valid_until_ms: 1000000000000000000000000000000",
        "limits: {fallback_a: .inf}",
        "version: 1000000000000000000000000000000",
        "version: true",
        "version: '2'",
        "version: 1:30",
        "version: 1_0",
        "version: 0x10",
        "upstream: {strict: on}",
        "upstream: {strict: 1}",
    ],
)
def test_a_clause_that_nothing_could_obey_or_not_everyone_reads_alike_is_refused(wrong):
    text = wrong if wrong.startswith("version") else f"version: 1\n{wrong}"
    assert "line" in str(refused(text))


def test_a_draft_with_very_many_groups_and_clauses_is_checked_in_a_moment():
    """2,000 sites, each in a hundred groups that agree; and a layer of clauses that there are not."""
    sites = [f"site{number}" for number in range(2_000)]
    groups = {
        f"g{number}": {"sites": sites[:200], "rules": {"modes": {"latch_ms": 5}}}
        for number in range(100)
    }
    began = time.process_time()
    source = read_source(draft(groups=groups, sites={site: {} for site in sites}))
    assert len(source.sites) == 2_000
    many = {f"a{number}": number for number in range(24_000)}
    assert "no such clause" in str(refused(draft(default={"modes": many})))
    assert time.process_time() - began < 5


def test_a_draft_of_more_groups_than_anyone_has_is_refused():
    groups = {f"g{number}": {} for number in range(GROUPS_MAX + 1)}
    assert f"{GROUPS_MAX}" in str(refused(draft(groups=groups)))


def test_a_group_of_the_draft_names_its_sites():
    source = read_source(DRAFT)
    assert source.group("motorway") == ("berlin01", "munich01")
    with pytest.raises(ContractError, match="there are motorway, depot"):
        source.group("city")


def test_two_bundles_differ_clause_by_clause():
    source = read_source(DRAFT)
    berlin, munich = (source.composed(site).rules for site in source.sites)
    changes = difference(berlin, munich)
    assert Change("modes.latch_ms", 30000, 20000) in changes
    assert Change("commands.TriggerMessage.age_ms_max", None, 10000) in changes
    assert {change.clause.split(".")[0] for change in changes} == {
        "site",
        "after_expiry",
        "activation",
        "modes",
        "commands",
    }
    assert difference(berlin, berlin) == ()


# --- whatever is laid over whatever ---

VALUES = {
    ("modes", "pulse_timeout_ms"): st.integers(50, 30_000),
    ("modes", "latch_ms"): st.integers(0, 10**9),
    ("authorise", "autonomous", "unknown"): st.sampled_from(["refuse", "accept-flagged", "free-vend"]),
    ("authorise", "autonomous", "unknown_energy_wh_max"): st.none() | st.integers(1, 10**6),
    ("authorise", "cache_age_ms_max"): st.integers(0, 10**12),
    ("storage", "soft_fraction"): st.floats(1e-9, 0.999),
    ("activation", "modes"): st.permutations(["connected", "degraded", "recovery"]),
    ("upstream", "strict"): st.booleans(),
    ("commands", "Reset", "age_ms_max"): st.integers(0, 10**9),
    ("commands", "Reset", "modes"): st.lists(st.sampled_from(["connected", "recovery"]), unique=True),
    ("signing", "keys"): st.lists(st.sampled_from(["ab" * 32, "00" * 32]), unique=True),
}  # fmt: skip

layers = st.fixed_dictionaries({}, optional=VALUES)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def nested(flat):
    clauses = {}
    for path, value in flat.items():
        below = clauses
        for part in path[:-1]:
            below = below.setdefault(part, {})
        below[path[-1]] = value
    return clauses


@given(
    default=layers, group=layers, site=layers, name=names, until=st.none() | st.integers(0, 10**14)
)
def test_what_is_composed_reads_back_as_the_nearest_layer_of_each_clause(
    default, group, site, name, until
):
    document = {
        "version": 7,
        "name": name,
        "valid_until_ms": until,
        "default": nested(default),
        "groups": {"g": {"sites": ["berlin01"], "rules": nested(group)}},
        "sites": {"berlin01": nested(site)},
    }
    source = read_source(yaml.safe_dump(document))
    assert isinstance(source, Draft)
    composed = source.composed("berlin01")
    assert read_rules(composed.text) == composed.rules
    assert source.composed("berlin01") == composed
    expected = {**default, **group, **site}
    built_in = dict(leaves(Rules(version=1).model_dump(mode="json")))
    found = dict(leaves(composed.rules.model_dump(mode="json")))
    top = {("version",): 7, ("name",): name, ("valid_until_ms",): until, ("site",): "berlin01"}
    assert found == {**built_in, **expected, **top}


@given(text=st.text(max_size=60) | st.builds("default: {}".format, st.text(max_size=60)))
def test_any_text_at_all_is_refused_with_a_sentence_or_read(text):
    with suppress(ContractError):
        assert read_source(text).version >= 1
