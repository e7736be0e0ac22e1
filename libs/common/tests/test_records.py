"""Goal: our `replace` gives what `dataclasses.replace` gives, for any record, and says no to the same things."""

from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from holdfast import records


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    name: str
    number: int = 1
    held: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Single:
    number: int


@dataclass(frozen=True)
class Open:
    name: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class Checked:
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


@dataclass(frozen=True, slots=True)
class Longer(Single):
    name: str = ""


def test_what_changes_changes_and_the_rest_is_the_same_object() -> None:
    before = Plain(name="a", held={"x": 1})
    after = records.replace(before, number=2)
    assert after == Plain(name="a", number=2, held={"x": 1})
    assert after.held is before.held
    assert before.number == 1
    assert type(after) is Plain
    assert hash(type(after)) == hash(Plain)


def test_it_stays_frozen() -> None:
    after = records.replace(Plain(name="a"), name="b")
    with pytest.raises(FrozenInstanceError):
        after.name = "c"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("record", "changes", "wanted"),
    [
        (Single(1), {"number": 2}, Single(2)),
        (Open("a"), {"number": 2}, Open("a", 2)),
        (Longer(1), {"name": "x"}, Longer(1, "x")),
        (Longer(1, "x"), {"number": 3}, Longer(3, "x")),
        (Checked(1, 2), {"high": 3}, Checked(1, 3)),
        (Plain(name="a"), {}, Plain(name="a")),
    ],
)
def test_every_kind_of_record_can_be_replaced(record, changes, wanted) -> None:
    assert records.replace(record, **changes) == wanted


def test_what_a_record_checks_when_it_is_made_it_checks_here() -> None:
    with pytest.raises(ValueError, match="low is above high"):
        records.replace(Checked(1, 2), low=3)


@pytest.mark.parametrize("record", [Plain(name="a"), Single(1), Open("a")])
def test_a_field_that_is_not_there_is_refused(record) -> None:
    with pytest.raises(TypeError):
        records.replace(record, nonsense=1)
