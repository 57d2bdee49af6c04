"""Where incidents are read and marked: the routes of the service below /api/, and what was learned as
readings. HTTP threads come in here while the engine runs in its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analytics.explain import explain, headline, job_sizes
from analytics.feedback.known import known_gpus
from analytics.feedback.learning import PRIOR_RIGHT, PRIOR_WRONG, Learned
from analytics.feedback.marks import LONGEST_NAME, LONGEST_NOTE, Ledger, Mark, MarkError
from analytics.fleet import Fleet
from analytics.incidents import Incident, Incidents, Surroundings
from gigawatch.catalogue import findings
from gigawatch.config import parse_duration
from gigawatch.readings import Reading
from gigawatch.serving import App, Request, Response

log = logging.getLogger(__name__)
HEADER = "X-Gigawatch-Request"
"""A request that changes something carries this header: no form and no foreign page can send it."""
LARGEST_BODY = 8192
KNOWN_FOR = 7 * 86400.0
LONGEST = 90 * 86400.0
_RECENT = 7 * 86400.0
_MOST = 200
_FIELDS = {"verdict", "note", "until", "by"}


class Desk:
    """Answers about incidents and takes marks.

    `parts` gives the incidents and the fleet that are in use now; the service may replace them. `around`
    tells what the inventory and running maintenance add to the fleet's own labels.
    """

    def __init__(
        self,
        parts: Callable[[], tuple[Incidents, Fleet]],
        state: Path,
        clock: Callable[[], float],
        around: Callable[[float], Surroundings] | None = None,
        watch: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """`around` tells what runs beside a moment; `watch` what the list of findings rests on."""
        self._watch = watch
        self._parts, self._clock, self._around = parts, clock, around
        self.ledger = Ledger(state)
        self.ledger.load()
        self.learned = Learned(self.ledger.marks)

    def equip(self) -> None:
        """Give the incidents in use what was learned and what surrounds them; call before each tick."""
        incidents, _ = self._parts()
        incidents.patience = self.learned
        if self._around is not None:
            incidents.surroundings = self._around(self._clock())

    def routes(self, app: App) -> None:
        """Incidents at /api/incidents and below, what was learned at /api/feedback."""
        app.route("GET", "/api/incidents", self._list)
        app.route("GET", "/api/incidents/", self._one)
        app.route("POST", "/api/incidents/", self._mark)
        app.route("GET", "/api/feedback", self._feedback)

    def readings(self) -> Iterator[Reading]:
        """What was learned, for the causes that were marked, and the GPUs that nobody is called for."""
        now = self._clock()
        yield from known_gpus(now, self.learned, *self._parts())
        for figures in self.learned.figures(now):
            for verdict, count in sorted(figures.counts.items()):
                yield Reading(findings.FEEDBACK_MARKS, (figures.cause, verdict), float(count))
            yield Reading(findings.FEEDBACK_PRECISION, (figures.cause,), round(figures.precision, 4))
            yield Reading(findings.FEEDBACK_THRESHOLD, (figures.cause,), round(figures.threshold, 4))

    def mark(self, name: str, verdict: str, note: str = "", until: float | None = None, by: str = "") -> Mark:
        """Mark an incident; `until` is Unix time. MarkError if it is refused. It holds from the next tick."""
        now = self._clock()
        if verdict not in findings.VERDICTS:
            raise MarkError(f"verdict '{verdict[:20]}' is none; allowed: {', '.join(findings.VERDICTS)}")
        if until is None and verdict == "known":
            until = now + KNOWN_FOR
        if until is not None and not now < until <= now + LONGEST:
            raise MarkError(f"until: must lie ahead, by at most {LONGEST / 86400:.0f} days")
        incidents, _ = self._parts()
        with incidents.lock:
            incident = incidents.find(name)
            if incident is None:
                raise MarkError(f"no incident is called '{name[:80]}'; see /api/incidents")
            mark = Mark(
                now, incident.name, verdict, incident.cause, incident.scope, incident.place, incident.key,
                round(incident.score, 4), len(incident.gpus), incident.confidence,
                tuple(one.signal for one in incident.evidence), _line(by, LONGEST_NAME),
                _line(note, LONGEST_NOTE), until,
            )  # fmt: skip
        self.ledger.add(mark)
        self.learned = Learned(self.ledger.marks)
        with incidents.lock:
            who = f" by {mark.by}" if mark.by else ""
            incident.note(now, f"marked {verdict}{who}" + (f": {mark.note}" if mark.note else ""))
            incidents.patience = self.learned
            incidents.recheck(now)
        log.info("incident %s marked %s by %s", mark.incident, verdict, mark.by or "an unnamed person")
        return mark

    def _list(self, _: Request) -> Response:
        now = self._clock()
        incidents, fleet = self._parts()
        with incidents.lock:
            open_, past = incidents.open, [one for one in incidents.past if now - one.closed <= _RECENT]
            # What people are called for first, then the widest.
            open_.sort(key=lambda one: (bool(one.known), -len(one.gpus), one.opened))
            sizes = job_sizes(fleet)
            shown = [self._explained(one, now, fleet, sizes) for one in open_[:_MOST]]
            recent = [self._explained(one, now, fleet, sizes) for one in past[:_MOST]]
        return _json({"now": now, **self._watch(), "open": shown, "open_count": len(open_), "recent": recent})

    def _one(self, request: Request) -> Response:
        name = request.path.removeprefix("/api/incidents/")
        incidents, fleet = self._parts()
        with incidents.lock:
            incident = incidents.find(name)
            if incident is None:
                return _json({"error": f"no incident is called '{name[:80]}'"}, 404)
            return _json(self._explained(incident, self._clock(), fleet, job_sizes(fleet)))

    def _explained(
        self, incident: Incident, now: float, fleet: Fleet, sizes: Mapping[str, int]
    ) -> dict[str, Any]:
        marks = [_shown(mark) for mark in self.learned.of(incident.name)]
        return {**explain(incident, now, fleet, sizes), "marks": marks}

    def _mark(self, request: Request) -> Response:
        name, _, verb = request.path.removeprefix("/api/incidents/").rpartition("/")
        if verb != "mark" or not name:
            return _json({"error": "marks are sent to /api/incidents/NAME/mark"}, 404)
        try:
            given = asked(request, self._clock())
            mark = self.mark(name, **given)
        except MarkError as error:
            status = 404 if str(error).startswith("no incident") else 400
            return _json({"error": str(error)}, status)
        incidents, _ = self._parts()
        with incidents.lock:
            found = incidents.find(name)
            text = headline(found, self._clock()) if found is not None else ""
        return _json({"marked": _shown(mark), "headline": text})

    def _feedback(self, _: Request) -> Response:
        now = self._clock()
        learned = self.learned
        right, wrong = learned.signals()
        return _json(
            {
                "prior": {"right": PRIOR_RIGHT, "wrong": PRIOR_WRONG},
                "causes": [asdict(one) for one in learned.figures(now)],
                "signals": {"right": right, "wrong": wrong},
                "marks": [_shown(mark) for mark in reversed(self.ledger.marks[-_MOST:])],
            }
        )


def asked(request: Request, now: float) -> dict[str, Any]:
    """The mark that a request asks for, checked. MarkError says what is allowed."""
    if HEADER not in request.headers:
        raise MarkError(f"the header {HEADER} is missing; a page of another site cannot send it")
    if "json" not in request.headers.get("Content-Type", ""):
        raise MarkError("the body must be JSON (Content-Type: application/json)")
    if len(request.body) > LARGEST_BODY:
        raise MarkError(f"the body has more than {LARGEST_BODY} bytes")
    try:
        data = json.loads(request.body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise MarkError('the body must be JSON such as {"verdict": "right", "note": "paste was dry"}')
    unknown = sorted(map(str, data.keys() - _FIELDS))
    if unknown:
        raise MarkError(f"unknown field '{unknown[0][:40]}'; allowed: {', '.join(sorted(_FIELDS))}")
    given: dict[str, Any] = {"verdict": data.get("verdict", "")}
    for name, longest in (("note", LONGEST_NOTE), ("by", LONGEST_NAME)):
        given[name] = data.get(name) or ""
        if isinstance(given[name], str) and len(given[name]) > longest:
            raise MarkError(f"{name}: at most {longest} characters")
    if not all(isinstance(value, str) for value in given.values()):
        raise MarkError("verdict, note and by must be texts")
    until = data.get("until")
    if until is not None:
        try:
            given["until"] = now + parse_duration(until)
        except (ValueError, AttributeError, TypeError):
            raise MarkError("until: write a length of time such as 12h or 7d") from None
    return given


def _line(text: str, longest: int) -> str:
    """One line of printable characters: what goes into logs and pages."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:longest]


def _shown(mark: Mark) -> dict[str, Any]:
    return {
        "time": mark.time,
        "incident": mark.incident,
        "verdict": mark.verdict,
        "cause": mark.cause,
        "place": mark.place,
        "by": mark.by,
        "note": mark.note,
        "until": mark.until,
    }


def _json(value: object, status: int = 200) -> Response:
    answer = Response.json(value, status)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(answer.body, answer.content_type, status, headers)
