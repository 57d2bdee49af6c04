"""One request and its answer, as far as they are counted. Nothing here touches the network."""

from __future__ import annotations

import logging
import time

from exporters.inference.proxy.answers import ImpossibleError
from exporters.inference.proxy.asking import Asked, asked, members, with_usage
from exporters.inference.proxy.heads import Answer, Fields, Request
from exporters.inference.proxy.kept import parse
from exporters.inference.proxy.memory import Budget
from exporters.inference.proxy.reading import Reading
from exporters.inference.proxy.routes import Route
from exporters.inference.proxy.tally import ModelTally, Tally

log = logging.getLogger(__name__)
_JSON = (b"application/json", b"")
"""Content types of requests that are looked into; Ollama's clients often give none."""
_FORM = b"application/x-www-form-urlencoded"
"""What curl calls any body; Ollama's own documentation asks it so."""


class Exchange:
    """`route` is None for requests that are not counted."""

    def __init__(self, request: Request, route: Route | None, tally: Tally, budget: Budget) -> None:
        self.method, self.route = request.method, route
        self.status = 0
        """Of the answer; 0 until there is one."""
        self.original: bytes | None = None
        """The request as it came, if it was made to ask for its usage, until the answer begins."""
        self.again = False
        """It went out again as it came."""
        self.looked = False
        """The request's body has been read."""
        self._asks = False
        self._tally, self._budget = tally, budget
        self._asked = Asked()
        self._began = time.monotonic()
        self._mine: ModelTally | None = None
        self._reading: Reading | None = None
        self._progress = 0
        self._named = ""
        """The model, as the answer called it last."""
        self._confirmed = False
        self._over = False
        self._failed = False

    # The request

    def readable(self, fields: Fields) -> bool:
        """Whether the request's body is worth a copy."""
        kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        coded = fields.get(b"content-encoding", b"identity").lower() != b"identity"
        return self.route is not None and not coded and (kind in _JSON or kind == _FORM)

    def look(self, body: bytes) -> None:
        """Read a request's whole body."""
        self.looked = True
        fields = parse(body)
        if fields is not None:
            self._asked = asked(fields)

    def asking(self, body: bytes) -> bytes | None:
        """The same, and the body that asks for usage besides, where that is of any use."""
        self.looked = True
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return None
        fields = members(text)
        if fields is None:
            return None
        self._asked = asked({name: field.value for name, field in fields.items()})
        new = with_usage(text, fields) if self._asked.stream else None
        return new.encode() if new is not None else None

    def keep(self, original: bytes) -> bool:
        """It is made to ask; keep it as it came, for when the engine does not like that. False: no room."""
        if not self._budget.take(len(original)):
            return False
        self.original, self._asks = original, True
        return True

    def ask_again(self) -> bytes:
        """The request as it came."""
        original = self.original or b""
        self._drop_original()
        self._asks, self.again = False, True
        return original

    def _drop_original(self) -> None:
        if self.original is not None:
            self._budget.give(len(self.original))
            self.original = None

    def arrived(self) -> None:
        """The whole request is there."""
        if self.route is not None and self._mine is None and not self._over:
            self._began = time.monotonic()
            self._belong(self._tally.expected(self._asked.model))

    # The answer

    def begin(self, answer: Answer, can_hide: bool) -> None:
        """The head of the answer came; `can_hide` if its body may become shorter."""
        self.status = answer.status
        self._drop_original()
        if self.route is None:
            return
        self.arrived()
        self._reading = Reading(answer.fields, self._asks and self.good and can_hide)

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def hides(self) -> bool:
        """Some of the answer is to be kept from the client."""
        return self._reading is not None and self._reading.hides

    def show(self, content: bytes) -> bytes:
        """Of this piece, what the client is to see now."""
        return self._reading.show(content) if self._reading is not None else content

    def show_rest(self) -> bytes:
        """At the end of the answer: what was held back."""
        return self._reading.show_rest() if self._reading is not None and self._reading.hides else b""

    def note(self, content: bytes) -> None:
        """Count a piece that has been passed on."""
        if self._reading is None or self._failed:
            return
        try:
            self._reading.note(content)
        except ImpossibleError as error:
            self.fail(error)
        self._follow()

    def finish(self, outcome: str = "") -> None:
        """The end: of the answer, or `abort` (the client left), or `error` (the engine did)."""
        if self._over:
            return
        self._over = True
        self._drop_original()
        if self.route is None:
            self._tally.passed += 1
            return
        if self._reading is not None and not self._failed:
            try:
                self._reading.finish()
            except ImpossibleError as error:
                self.fail(error)
            self._follow()
        mine = self._mine or self._belong(self._tally.expected(self._asked.model))
        mine.running -= 1
        self._account(mine, outcome)

    def _belong(self, tally: ModelTally) -> ModelTally:
        if self._mine is tally:
            return tally
        if self._mine is not None:
            self._mine.running -= 1
        tally.running += 1
        self._mine = tally
        return tally

    def _follow(self) -> None:
        """After each piece: to which model it belongs, and that something has moved."""
        reading = self._reading
        if reading is None or not self.good:
            return
        name = reading.answer.model
        news = name != self._named or not self._confirmed
        if news and (name or (reading.progress and self._asked.model)):
            self._named, self._confirmed = name, True
            self._belong(self._tally.confirmed(self._asked.model, name))
        if self._mine is not None:
            self._mine.progress += reading.progress - self._progress
            self._progress = reading.progress

    def _account(self, mine: ModelTally, outcome: str) -> None:
        reading, now = self._reading, time.monotonic()
        said = reading.answer if reading is not None else None
        if self.status >= 400:
            outcome = outcome or "error"
        elif not outcome:
            silent = "other" if self.route is None or self.route.reasons or not self.good else "stop"
            outcome = (said.outcome if said is not None else "") or silent
        mine.outcomes[outcome] += 1
        told = said is not None and said.told and not self._failed
        if told and said is not None:
            mine.add_prompt(said.prompt or 0, said.cached)
            mine.generated += said.generated or 0
        elif self.status < 400 and not (said is not None and said.nothing_to_tell):
            mine.unmeasured[self._silence(outcome)] += 1
        if reading is None or not self.good or outcome not in ("stop", "length", "other"):
            return
        mine.duration.observe(now - self._began)
        if reading.first is not None:
            mine.first_token.observe(reading.first - self._began)
            many = said.generated if told and said is not None and said.generated else 0
            if many > 1 and reading.pieces > 1 and self._asked.answers == 1:
                mine.per_token.observe((reading.last - reading.first) / (many - 1))

    def _silence(self, outcome: str) -> str:
        """Why nobody told the tokens."""
        if self._failed:
            return "unreadable"
        if outcome in ("abort", "error"):
            return outcome
        return (self._reading.unreadable if self._reading is not None else "") or "absent"

    def fail(self, error: Exception) -> None:
        """It cannot be counted."""
        self._failed = True
        self._tally.counting_errors += 1
        what = f"field {error}" if isinstance(error, ImpossibleError) else type(error).__name__
        log.debug("an answer could not be counted: %s", what)
