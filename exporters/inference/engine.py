"""One engine that is scraped: what it said last, and how asking it went."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor

from exporters.inference.dialect import Dialect
from exporters.inference.fetch import Answer, Fetcher, FetchError
from exporters.inference.normal import ExpositionError, Normaliser, Objective, recognise, speaks
from exporters.inference.once import left_to_engines
from exporters.inference.refusals import check, paths
from exporters.inference.targets import Target, dialect_named
from gigawatch.catalogue import inference
from gigawatch.readings import Reading
from gigawatch.serving.exposition import Blocks, Renderer

log = logging.getLogger(__name__)

Objectives = Callable[[str], Mapping[str, Objective]]
UNKNOWN = "unknown"
"""Value of the label `engine` while nobody knows what kind it is."""
_LARGE = 1 << 18
"""Bytes of an answer that is read in a thread, so that reading it holds up nobody."""
_ELSEWHERE = ("status", "content_type")
"""Errors that may mean: right server, wrong path."""


class Engine:
    """A target and what is known of it. Used by the thread of the event loop; `parts` and `revision` may be
    read by others."""

    def __init__(
        self,
        target: Target,
        objectives: Objectives,
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """`read` gives the models of which an engine itself is read: a router leaves those out."""
        self.target = target
        self.word: bool | None = None
        """Its own word on its health."""
        self.parts: tuple[Blocks, ...] = ()
        """What is served of it; never changed, only replaced."""
        self.revision = 0
        """Rises whenever `parts` is replaced."""
        self.tried = False
        self.renewed = clock()
        """When it was last asked to the end, or found."""
        self._objectives, self._clock, self._read_models = objectives, clock, read
        self._dialect = dialect_named(target.engine)
        self._normaliser: Normaliser | None = None
        self._up = self._answered = self._doubted = False
        self._problem = ""
        self._errors: dict[str, int] = {}
        self._took = 0.0
        self._path = ""
        """Where its metrics were last found."""
        self._renderer = Renderer()

    @property
    def dialect(self) -> Dialect | None:
        """How it speaks; None while nobody knows."""
        return self._dialect

    @property
    def models(self) -> tuple[str, ...]:
        """What it serves, as last told."""
        return self._normaliser.models if self._normaliser is not None else ()

    @property
    def rejected(self) -> Mapping[tuple[str, str], int]:
        """Series left out because they cannot be true, by metric and reason."""
        return dict(self._normaliser.rejected) if self._normaliser is not None else {}

    def update(self, target: Target) -> None:
        """The same engine, of which something else is known now."""
        before, self.target = self.target, target
        if (before.engine, before.model, before.replica, before.patience) != (
            target.engine, target.model, target.replica, target.patience,
        ):  # fmt: skip
            self._dialect = dialect_named(target.engine) or (self._dialect if not before.engine else None)
            self._normaliser = None
            self._up = False
        if (before.address, before.path) != (target.address, target.path):
            self._path = ""
        self._render()

    def hear(self, word: bool | None) -> None:
        """Its own word on its health came, or did not."""
        if word is not self.word:
            self.word = word
            self._render()

    async def scrape(self, fetcher: Fetcher, deadline: float, readers: Executor) -> None:
        """Ask it once. Whatever it answers, or does not, ends here."""
        began = self._clock()
        try:
            answer = await self._ask(fetcher, deadline)
            with fetcher.holding(len(answer.body)):
                await self._read(answer.body, readers)
        except FetchError as error:
            self._failed(error)
        except Exception as error:
            log.exception("engine %s: reading its answer failed", self.target.replica)
            self._failed(FetchError("internal", f"reading its answer failed ({type(error).__name__})"))
        else:
            self._succeeded()
        self.renewed = self._clock()
        self._took = self.renewed - began
        self.tried = True
        self._render()

    async def _ask(self, fetcher: Fetcher, deadline: float) -> Answer:
        """Its metrics, from the first path that has any."""
        target, until = self.target, self._clock() + deadline
        first: FetchError | None = None
        for path in dict.fromkeys((*([self._path] if self._path else []), *paths(target, self._dialect))):
            try:
                answer = await fetcher.get(target.url(path), target.access, max(0.01, until - self._clock()))
                check(answer, path, self._dialect)
            except FetchError as error:
                if first is None:
                    first = error
                    if error.kind == "timeout":
                        first = FetchError("timeout", f"no whole answer within {deadline:g} s")
                if error.kind not in _ELSEWHERE:
                    break
            else:
                self._path = path
                return answer
        self._path = ""
        raise first or FetchError("internal", "no path to ask")

    async def _read(self, body: bytes, readers: Executor) -> None:
        now = self._clock()
        try:
            if len(body) < _LARGE:
                self._take(body, now)
            else:
                await asyncio.get_running_loop().run_in_executor(readers, self._take, body, now)
        except ExpositionError as error:
            raise FetchError(error.kind, _said(error)) from None

    def _take(self, body: bytes, now: float) -> None:
        """Raises ExpositionError, FetchError."""
        doubted, self._doubted = self._doubted, True
        known = self._normaliser
        if known is None or doubted:
            # It has said nothing yet, or less than it should: another engine may have moved in.
            known = self._choose(body)
        known.take(body, now)
        self._doubted = bool(known.missing)

    def _choose(self, body: bytes) -> Normaliser:
        """Who understands it. Raises FetchError."""
        known, set_to = self._normaliser, dialect_named(self.target.engine)
        if set_to is not None and speaks(set_to, body):
            chosen: Dialect | None = set_to
        else:
            found = recognise(body)
            if set_to is not None and found is not None and found.engine not in set_to.passes_on:
                raise FetchError("dialect", f"is set to be {set_to.title} and speaks as {found.title}")
            chosen = found or set_to or self._dialect
        if chosen is None:
            raise FetchError("unrecognised", "its metrics are those of no engine that is known; set `engine`")
        if known is None or chosen is not self._dialect:
            target = self.target
            known = Normaliser(chosen, target.replica, target.model, self._objectives, target.patience)
            self._dialect, self._normaliser = chosen, known
        return known

    def _succeeded(self) -> None:
        if not self._answered or self._problem:
            models = ", ".join(self._normaliser.models) if self._normaliser else ""
            title = self._dialect.title if self._dialect else UNKNOWN
            log.info("engine %s answers: %s, model %s", self.target.replica, title, models or "not named")
        self._up = self._answered = True
        self._problem = ""

    def _failed(self, error: FetchError) -> None:
        self._up = False
        self._errors[error.kind] = self._errors.get(error.kind, 0) + 1
        if self._normaliser is not None:
            self._normaliser.failed()
        if error.kind != self._problem and not self._excused:
            log.warning("engine %s at %s: %s", self.target.replica, self.target.address, error)
            self._problem = error.kind

    @property
    def _excused(self) -> bool:
        """It may still be loading its model."""
        return self.target.starting and not self._answered

    def _render(self) -> None:
        blocks = self._renderer.blocks(self._readings())
        if self._up and self._normaliser is not None:
            # A copy: the next answer changes what is ours to serve until then.
            told = dict(self._normaliser.blocks())
            if self._normaliser.dialect.stands_before:
                told = left_to_engines(told, self._read_models())
            self.parts = (blocks, told)
        else:
            self.parts = (blocks,)
        self.revision += 1

    def _readings(self) -> Iterator[Reading]:
        target, dialect, known = self.target, self._dialect, self._normaliser
        engine = dialect.engine if dialect else UNKNOWN
        pairs = list(known.replicas) if known else []
        if self.tried and not self._excused:
            for model, replica in pairs or [(target.model, target.replica)]:
                yield Reading(inference.INFERENCE_ENGINE_UP, (engine, model, replica), float(self._up))
        for model, replica in pairs or [(target.model, target.replica)]:
            if self.word is not None:
                yield Reading(inference.INFERENCE_ENGINE_HEALTHY, (engine, model, replica), float(self.word))
            if model:
                for uuid in target.gpus:
                    yield Reading(inference.INFERENCE_GPU_INFO, (uuid, engine, model, replica), 1.0)
        own = (engine, target.replica)
        # From the start: an alert has to see the first refusal as a rise.
        for kind, count in sorted({"refused": 0, **self._errors}.items()):
            yield Reading(inference.INFERENCE_SCRAPE_ERRORS, (*own, kind), float(count))
        if self.tried:
            yield Reading(inference.INFERENCE_SCRAPE_DURATION, own, self._took)
        if known is not None and self._up:
            yield Reading(inference.INFERENCE_UNMAPPED, own, float(len(known.unmapped)))
            yield Reading(inference.INFERENCE_MISSING, own, float(len(known.missing)))
        how = f"{dialect.title} {dialect.version}" if dialect else ""
        version = (known.version if known else "") or ""
        for replica in dict.fromkeys([replica for _, replica in pairs] or [target.replica]):
            labels = (engine, replica)
            yield Reading(inference.INFERENCE_ENGINE_INFO, (*labels, target.source, how, version), 1.0)
            yield from _places(target, labels)


def _places(target: Target, labels: tuple[str, str]) -> Iterator[Reading]:
    """Where a replica runs."""
    for namespace, pod in target.pods:
        yield Reading(inference.INFERENCE_POD_INFO, (*labels, namespace, pod), 1.0)
    if target.job:
        yield Reading(inference.INFERENCE_JOB_INFO, (*labels, target.job), 1.0)
    if not target.pods:
        # A pod's ports are its own, and the next pod of the node has the same.
        yield Reading(inference.INFERENCE_PORT_INFO, (*labels, str(target.port)), 1.0)


def _said(error: ExpositionError) -> str:
    return str(error) if str(error) != error.kind else f"its metrics cannot be read ({error.kind})"
