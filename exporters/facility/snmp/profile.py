"""What a profile file holds: where a device keeps its values, and which metrics they are. Data, no code.

`docs/adding-a-device-snmp.md` explains it by example.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gigawatch.catalogue import PREFIX, Kind, Metric, by_name
from gigawatch.config import Strict

_NAME = re.compile(r"\{([a-z_]+(?:\|[a-z_]+)*)\}")
SIDE = "side"
"""The label that comes from the inventory, never from the device."""


def _oid(text: str) -> str:
    text = text.removeprefix(".")
    if not re.fullmatch(r"1(\.\d{1,10})+", text):
        raise ValueError(f"is {text!r}: an OID is numbers with dots, such as 1.3.6.1.2.1.33.1.2.1")
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _texts(value: object) -> object:
    """Keys as text, and what YAML took for booleans as the words that were written."""
    if not isinstance(value, dict):
        return value
    words = {True: "on", False: "off"}
    return {str(key): words[text] if isinstance(text, bool) else text for key, text in value.items()}


Oid = Annotated[str, AfterValidator(_oid)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_listed)]


class Column(Strict):
    """A column of a table. Where its rows have fewer index parts than the table's, `index` names them; with
    none of them (`[]`) it is a scalar."""

    oid: Oid
    index: tuple[str, ...] | None = None


class Choice(Strict):
    """A label value that is worked out."""

    of: str
    """A text with {index part} or {column} in it; {label|outlet} is the first of them that is not empty."""
    map: Annotated[dict[str, str], BeforeValidator(_texts)] = Field(default_factory=dict)
    """What stands for what. A row with anything else is left out."""
    pattern: Pattern = ""
    """Its first group is the value. A row that does not match is left out."""
    alone: str | None = None
    """What to write instead if the whole table has just one value: most devices have one inlet."""

    @model_validator(mode="after")
    def _one_group(self) -> Choice:
        if self.pattern and re.compile(self.pattern).groups != 1:
            raise ValueError("pattern needs exactly one group in parentheses")
        return self


class Factor(Strict):
    """A factor that a column of the row chooses."""

    column: str
    map: dict[int, float]


Label = Annotated[Choice, BeforeValidator(lambda v: {"of": v} if isinstance(v, str) else v)]


class ReadingSpec(Strict):
    """One metric out of the rows of a table."""

    metric: str
    """Key in the catalogue, without the prefix."""
    value: str = ""
    """Column; empty: the table's."""
    where: dict[str, Numbers] = Field(default_factory=dict)
    """Only rows whose index part or column has one of these numbers."""
    match: dict[str, Pattern] = Field(default_factory=dict)
    """Only rows whose column has a text in which this is found."""
    scale: float = 1.0
    """Factor to base units."""
    digits: str = ""
    """Column with the number of decimal digits; empty: the table's; `none`: not even the table's."""
    factor: Factor | None = None
    fahrenheit: bool = False
    suffix: str = ""
    """Unit that follows the number, where the device sends text such as 16A."""
    sentinels: Numbers = ()
    """Numbers, as sent, that mean "not there", beside the table's."""
    zero_needs: str = ""
    """Column that must be zero as well for a zero to be believed."""
    between: tuple[float, float] | None = None
    """Lowest and highest value, in base units, that can be true: beyond it, the unit is another one."""
    states: Annotated[dict[int, str], BeforeValidator(_texts)] = Field(default_factory=dict)
    """For state sets: which state a number stands for."""
    otherwise: str = ""
    """For state sets: the state of all other numbers; empty: absent."""
    labels: dict[str, Label] = Field(default_factory=dict)
    combine: Literal["", "sum", "max"] = ""
    """Make one value of those with the same labels. A sum needs every row to have a value."""

    @cached_property
    def what(self) -> Metric:
        return by_name(PREFIX + self.metric)

    @model_validator(mode="after")
    def _known(self) -> ReadingSpec:
        try:
            metric = self.what
        except KeyError:
            raise ValueError(f"metric {self.metric!r} is not in the catalogue; see docs/reference") from None
        if metric.kind in (Kind.INFO, Kind.HISTOGRAM):
            raise ValueError(f"metric {self.metric!r} is no gauge, counter or state set")
        if (metric.kind is Kind.STATE_SET) != bool(self.states):
            raise ValueError(f"metric {self.metric!r}: `states` goes with a state set, and only with one")
        return self

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels to be filled by the profile: neither the side nor the state."""
        names = self.what.labels[:-1] if self.states else self.what.labels
        return tuple(name for name in names if name != SIDE)


class Table(Strict):
    """Rows with the same index. A table without index is the device's scalars."""

    name: str
    index: tuple[str, ...] = ()
    """A name for each number of the index."""
    columns: dict[str, Annotated[Column, BeforeValidator(lambda v: {"oid": v} if isinstance(v, str) else v)]]
    rows: str = ""
    """Scalar column with the number of rows that are real: some agents fill the table up with zeros."""
    value: str = ""
    digits: str = ""
    valid: dict[str, Numbers] = Field(default_factory=dict)
    """A row's values count only while these columns have one of these numbers."""
    sentinels: Numbers = ()
    labels: dict[str, Label] = Field(default_factory=dict)
    readings: tuple[ReadingSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Table:
        for name, column in self.columns.items():
            unknown = set(column.index or ()) - set(self.index)
            if name in self.index or unknown:
                raise ValueError(
                    f"column {name!r} {'is an index part too' if not unknown else self._parts()}"
                )
        for place, reading in enumerate(self.readings):
            try:
                self._check(reading)
            except ValueError as error:
                raise ValueError(f"readings[{place}] ({reading.metric}): {error}") from None
        return self

    def _parts(self) -> str:
        return f"has another index than the table's {list(self.index)}"

    def _check(self, reading: ReadingSpec) -> None:
        columns = [self.value_of(reading), reading.zero_needs, self.rows, *reading.match, *self.valid]
        columns += [self.digits_of(reading), reading.factor.column if reading.factor else ""]
        for column in columns:
            if column and column not in self.columns:
                raise ValueError(f"column {column!r} is not declared; declared: {', '.join(self.columns)}")
        value = self.columns.get(self.value_of(reading))
        if value is None or value.index is not None:
            raise ValueError("its value is no column with the table's own index")
        labels = self.labels_of(reading)
        fields = {*self.columns, *self.index}
        for name in (*reading.where, *_fields(labels)):
            if name not in fields:
                raise ValueError(f"{name!r} is neither index part nor column; there are {sorted(fields)}")
        _check_labels(reading, labels)

    def value_of(self, reading: ReadingSpec) -> str:
        """The column with the value."""
        return reading.value or self.value

    def digits_of(self, reading: ReadingSpec) -> str:
        """The column with the decimal digits, or an empty name."""
        digits = reading.digits or self.digits
        return "" if digits == "none" or reading.states else digits

    def labels_of(self, reading: ReadingSpec) -> dict[str, Choice]:
        """The reading's labels; the table's fill in where the metric has them."""
        own = {name: label for name, label in self.labels.items() if name in reading.label_names}
        return {**own, **reading.labels}


class Detect(Strict):
    """How the profile finds its devices when the inventory names none. What is given must all hold. A
    profile with `answers` alone is tried only when no other has been found."""

    sys_object_ids: tuple[Oid, ...] = ()
    """Beginnings of sysObjectID."""
    sys_descr: Pattern = ""
    answers: Oid | None = None
    """The device has something below this OID."""


class Identity(Strict):
    """Where the device keeps what it is: OIDs of one value each, the first that is not empty counts."""

    vendor: tuple[Oid, ...] = ()
    model: tuple[Oid, ...] = ()
    firmware: tuple[Oid, ...] = ()
    serial: tuple[Oid, ...] = ()


class Profile(Strict):
    """One family of devices."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    vendor: str = ""
    source: str
    """Where the facts come from."""
    unverified: str = ""
    """What nobody has held against a device or a vendor's document yet."""
    detect: Detect = Field(default_factory=Detect)
    identity: Identity = Field(default_factory=Identity)
    tables: tuple[Table, ...] = Field(min_length=1)


def names_in(template: str) -> list[tuple[str, ...]]:
    """The alternatives of every {name|other} in a template."""
    return [tuple(found.split("|")) for found in _NAME.findall(template)]


def filled(template: str, values: dict[str, str]) -> str:
    """A template with its names replaced: the first of the alternatives that is not empty."""
    return _NAME.sub(
        lambda found: next((text for name in found[1].split("|") if (text := values.get(name, ""))), ""),
        template,
    )


def _fields(labels: dict[str, Choice]) -> list[str]:
    return [name for label in labels.values() for group in names_in(label.of) for name in group]


def _check_labels(reading: ReadingSpec, labels: dict[str, Choice]) -> None:
    wanted = reading.label_names
    for name in labels:
        if name not in wanted:
            raise ValueError(
                f"label {name!r} is not one to fill; the metric has {', '.join(wanted) or 'none'}"
            )
    metric = reading.what
    for name, allowed in metric.values.items():
        if reading.states and name == metric.labels[-1]:
            given = [*reading.states.values(), *([reading.otherwise] if reading.otherwise else [])]
        elif name in wanted:
            label = labels.get(name)
            given = list(label.map.values()) if label and label.map else [label.of if label else ""]
        else:
            continue
        for value in given:
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
