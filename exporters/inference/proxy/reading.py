"""Reads the body of an answer as it passes."""

from __future__ import annotations

import re
import time
import zlib

from exporters.inference.proxy.answers import Answer, bears_content
from exporters.inference.proxy.asking import members, without
from exporters.inference.proxy.blocks import Block, Blocks, data_of
from exporters.inference.proxy.heads import Fields
from exporters.inference.proxy.kept import Kept, parse

_STREAMS = {b"text/event-stream": False, b"application/x-ndjson": True, b"application/jsonl": True}
"""Whether the events are lines of JSON, by content type."""
_TELLS = re.compile(
    rb'"(?:usage|finish_reason|stop_reason|done_reason|error)"\s*+:\s*+(?!null|"")|"done"\s*+:\s*+true'
    rb'|"type"\s*+:\s*+"(?:response\.(?:completed|incomplete|failed)|error)"'
)
"""Events that say more than a piece of the answer; only these are taken apart once the answer has begun."""
_DONE = b"[DONE]"
_PING = re.compile(rb'\{\s*"type"\s*:\s*"ping"\s*\}')
_MOST_INFLATED = 4 * 1024 * 1024
"""Bytes that one piece from the network may unfold to."""


class Reading:
    """What one answer tells, from its pieces.

    `note` is called after a piece has been passed on; with `hide`, `show` is called before, and gives what of
    the piece to pass on: all but the usage that the client never asked for.
    """

    def __init__(self, fields: Fields, hide: bool) -> None:
        kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        coding = fields.get(b"content-encoding", b"identity").strip().lower()
        self.answer = Answer()
        self.stream = kind in _STREAMS
        self.unreadable = "" if coding in (b"identity", b"", b"gzip", b"x-gzip", b"deflate") else "encoding"
        """Why its tokens cannot be told, as far as that is the answer's fault."""
        self.progress = 0
        """Pieces of the answer itself that came."""
        self.first: float | None = None
        """When the first of the answer itself came; streams only. Monotonic seconds, as `last`."""
        self.last = 0.0
        self.pieces = 0
        """Events with some of the answer in them."""
        self._inflate = zlib.decompressobj(wbits=47) if coding not in (b"identity", b"") else None
        self._lines = _STREAMS.get(kind, False)
        self._blocks = Blocks(self._lines) if self.stream else None
        self._kept = Kept()
        self._waiting: list[Block] = []
        self.hides = hide and self.stream and not self._lines and self._inflate is None

    def show(self, content: bytes) -> bytes:
        """What to pass on of this piece, and of what was held back before."""
        if self._blocks is None:
            return content
        found = self._blocks.feed(content)
        self._waiting += found
        return b"".join([self._shown(block) for block in found])

    def show_rest(self) -> bytes:
        """At the end: what was held back."""
        last = self._blocks.rest() if self._blocks is not None else None
        if last is None:
            return b""
        self._waiting.append(last)
        return last.raw

    def note(self, content: bytes) -> None:
        """Count a piece that has been passed on. Raises ImpossibleError."""
        if self.unreadable:
            self.progress += bool(content)
            return
        if self._inflate is not None:
            content = self._inflated(self._inflate, content)
        if self._blocks is None:
            self.progress += bool(content)
            self._kept.add(content)
            return
        if not self.hides:
            self._waiting += self._blocks.feed(content)
        self._note_blocks()

    def finish(self) -> None:
        """Nothing more comes. Raises ImpossibleError."""
        if self.unreadable:
            return
        if self._blocks is not None:
            last = self._blocks.rest()
            self._waiting += [last] if last is not None else []
            self._note_blocks()
        else:
            self._take(self._kept)

    def _inflated(self, inflate: zlib._Decompress, content: bytes) -> bytes:
        try:
            plain = inflate.decompress(content, _MOST_INFLATED)
        except zlib.error:
            self.unreadable = "encoding"
            return b""
        if inflate.unconsumed_tail:
            self.unreadable = "encoding"
        return plain

    @staticmethod
    def _shown(block: Block) -> bytes:
        """The event as the client would have seen it, had its stream not been made to tell the usage."""
        raw = block.raw
        if b'"usage"' not in raw or not block.begins or not block.ends:
            return raw
        try:
            text = data_of(raw).decode()
        except UnicodeDecodeError:
            return raw
        fields = members(text)
        if fields is None or "usage" not in fields:
            return raw
        choices = fields.get("choices")
        if choices is not None and choices.value == [] and isinstance(fields["usage"].value, dict):
            return b""
        return raw.replace(text.encode(), without(text, fields, "usage").encode(), 1)

    def _note_blocks(self) -> None:
        blocks, self._waiting = self._waiting, []
        for block in blocks:
            if block.begins and block.ends:
                self._event(block.raw if self._lines else data_of(block.raw))
                continue
            # Longer than is kept: its end is what matters.
            if block.begins:
                self._kept = Kept(0)
            self._kept.add(block.raw)
            if block.ends:
                self.progress += 1
                self._take(self._kept)

    def _event(self, data: bytes) -> None:
        data = data.strip()
        if not data or data == _DONE or _PING.fullmatch(data):
            return
        self.progress += 1
        tells = _TELLS.search(data) is not None
        if self.first is not None and not tells:
            self.pieces += 1
            self.last = time.monotonic()
            return
        document = parse(data)
        if document is None:
            return
        if bears_content(document):
            self.last = time.monotonic()
            self.first = self.first if self.first is not None else self.last
            self.pieces += 1
        self.answer.take(document)

    def _take(self, kept: Kept) -> None:
        try:
            document = kept.document()
        except UnicodeDecodeError:
            document = None
        if document is None:
            self.unreadable = "unreadable"
        else:
            self.answer.take(document)
