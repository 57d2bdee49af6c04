"""What a dialect is: how one kind of inference engine tells what it does, as data.

A dialect names the samples of an engine's exposition and the metric of our catalogue that each becomes. It
also says what the figures are worth: when counters move, which names old versions used, which figures
deceive and are left alone. `docs/adding-an-engine.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gigawatch.catalogue import Metric
from gigawatch.catalogue.inference import INFERENCE_REQUESTS, INFERENCE_TOKENS

Value = str | tuple[str, ...]


class Granularity(StrEnum):
    """When an engine counts the tokens that it generates."""

    STEP = "step"
    """At each step of the engine: smooth."""
    LOG = "log"
    """Each time it writes a line of statistics, every few seconds."""
    REQUEST = "request"
    """When a request ends: long answers show as nothing, then as a jump."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Series of an engine's exposition, added up (`fold` = sum) or the largest of them (`fold` = max).

    `name` is a sample's name as exposed (the `_sum` of a histogram may stand alone), or the family of a
    histogram where it becomes a histogram. `where` keeps series whose label has one of these values ("" also
    stands for a label that is absent), `but` leaves out those. `minus` is taken away (total without cached);
    the difference of counters never falls, except where its parts restart. `scale` brings it to base units
    (the edges and the sum of a histogram). `silent_zero`: 0 says that the engine was not told to count this,
    so it is absent.
    """

    name: str
    where: Mapping[str, Value] = field(default_factory=dict)
    but: Mapping[str, Value] = field(default_factory=dict)
    minus: Sample | None = None
    scale: float = 1.0
    fold: str = "sum"
    silent_zero: bool = False

    def names(self) -> Iterator[str]:
        """All names that it reads."""
        yield self.name
        if self.minus is not None:
            yield from self.minus.names()


@dataclass(frozen=True, slots=True)
class Figure:
    """One series per model and replica: `to` with these further label values, from `sample`.

    Several figures for the same series are added up.

    `expected` is False for what an engine gives only now and then or with a further flag: its absence is
    no drift.
    """

    to: Metric
    sample: Sample
    labels: Mapping[str, str] = field(default_factory=dict)
    expected: bool = True


@dataclass(frozen=True, slots=True)
class FirstOf:
    """Ways to tell the same thing, best first: the first set of figures whose names are all there is used.

    Names of older versions and coarser figures come later. Absence of all sets is drift where `expected`.
    """

    sets: tuple[tuple[Figure, ...], ...]
    expected: bool = True


@dataclass(frozen=True, slots=True)
class HealthRoute:
    """An engine's own word on its health: a path, how long it may take, how often to ask (seconds).

    The answer 200 is healthy and 503 is not; anything else is no answer. It is shown and alerted when it says
    no; a yes proves nothing.
    """

    path: str = "/health"
    deadline: float = 2.0
    every: float = 15.0
    port: int = 0
    """Where it is another port than that of the metrics."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of engine speaks."""

    engine: str
    """Value of the label `engine`, and what a configuration calls it."""
    title: str
    """The engine's own spelling."""
    version: str
    """The version whose names these are."""
    origin: str
    """Where the names were found: a recording, a source file, a documentation page."""
    recognised_by: tuple[str, ...]
    """Beginnings of sample names that no other engine uses; tell an engine that nobody named."""
    port: int
    path: str = "/metrics"
    needs: str = ""
    """What the engine must be started with to tell all this; part of error texts."""
    health: HealthRoute | None = HealthRoute()
    granularity: Granularity = Granularity.STEP
    patience: float = 20.0
    """Seconds for which `progress` may stand still with requests present before the engine counts as frozen.
    0: it cannot be told for this engine."""
    progress: tuple[Sample, ...] = ()
    """What rises whenever the engine gets something done; all are added up. Where the first is not there, the
    rest would not tell a long request from a frozen engine, so nothing is told."""
    model_labels: tuple[str, ...] = ("model_name",)
    """Labels that name the model, the first that is present counts. None: the configuration's name."""
    rank_label: str = ""
    """Label that tells ranks of data-parallel serving apart; each is a replica of its own."""
    only: Mapping[str, Value] = field(default_factory=dict)
    """Series to look at at all: one rank of those that would tell the same tokens again."""
    figures: tuple[Figure | FirstOf, ...] = ()
    lazy: bool = False
    """Series come into being with the first request: until it tells of generated tokens, none is missing."""
    stands_before: bool = False
    """A frontend or router: the engines behind it tell of the same tokens and requests. Where one of them
    is read as well, `exporters.inference.once` leaves to the engines what both would count."""
    passes_on: tuple[str, ...] = ()
    """Engines whose metrics may come in place of its own: what is said decides, not what is configured."""
    own: tuple[str, ...] = ()
    """Beginnings of its own names where these are not `recognised_by`: what begins otherwise belongs to
    another program in the same exposition, and is never unmapped. "" where they have none in common."""
    ignored: tuple[str, ...] = ()
    """Names (or beginnings, ending in *) that are known and of no use here, each group with its reason beside
    it. What is neither read nor ignored counts as unmapped."""
    version_sample: tuple[str, str] = ("", "")
    """Sample and label that tell the engine's version."""
    starts_empty: bool = False
    """An engine that has served nothing yet may answer with nothing at all: no error, and no figures."""

    def every_figure(self) -> Iterator[Figure]:
        """All figures, those of every alternative."""
        for figure in self.figures:
            if isinstance(figure, Figure):
                yield figure
            else:
                for one in figure.sets:
                    yield from one

    def names(self) -> frozenset[str]:
        """Every name that is read, histograms by their family."""
        read = {name for figure in self.every_figure() for name in figure.sample.names()}
        return frozenset(read | {name for sample in self.progress for name in sample.names()})


def prompt(source: str, sample: Sample) -> Figure:
    """Tokens of prompts, from this source (computed, cached, unknown)."""
    return Figure(INFERENCE_TOKENS, sample, {"kind": "prompt", "source": source})


def generated(sample: Sample) -> Figure:
    """Tokens generated: always computed."""
    return Figure(INFERENCE_TOKENS, sample, {"kind": "generation", "source": "computed"})


def finished(outcome: str, sample: Sample) -> Figure:
    """Requests that ended so."""
    return Figure(INFERENCE_REQUESTS, sample, {"outcome": outcome})
