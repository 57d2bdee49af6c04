"""An engine without metrics, for the counting proxy: a real server that answers as Ollama and others do.

The forms are written from, not recorded of: Ollama's docs/api.md (01e52d24) and middleware/openai.go
(077a50ba: what its OpenAI routes stream, `usage` of zeros in each chunk of /v1/completions included),
OpenAI's reference of chat completion chunks and of response events, Anthropic's of message events.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

from aiohttp import web

PROMPT, CACHED = 26, 11


class Engine:
    """Answers `max_tokens` (`options.num_predict`) tokens, several to a chunk; counts what it told.

    `pause`: seconds between chunks. `strict`: refuses fields that it does not know.
    """

    def __init__(self, pause: float = 0.0, strict: bool = False) -> None:
        self.pause, self.strict = pause, strict
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left = 0
        """Clients that went away before the end."""
        self.told = 0
        self.release = asyncio.Event()
        """Answers to model "held" wait for it."""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        for path, handler in (
            ("/v1/chat/completions", self.chat),
            ("/v1/completions", self.completions),
            ("/v1/responses", self.responses),
            ("/v1/messages", self.messages),
            ("/v1/embeddings", self.embeddings),
            ("/api/chat", self.native),
            ("/api/generate", self.native),
            ("/api/embed", self.embed),
        ):
            app.router.add_post(path, handler)
        app.router.add_get("/", self.root)
        return app

    async def root(self, _: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def _body(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if body.get("model") == "held":
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.left += 1
                raise
        return body

    def _size(self, body: dict[str, Any]) -> int:
        size = int(body.get("max_tokens") or body.get("options", {}).get("num_predict") or 5)
        self.told += size
        return size

    async def _stream(self, request: web.Request, kind: str, pieces: list[bytes]) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": kind})
        try:
            await answer.prepare(request)
            for piece in pieces:
                await answer.write(piece)
                if self.pause:
                    await asyncio.sleep(self.pause)
            await answer.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            self.left += 1
            raise
        return answer

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._openai(request, chat=True)

    async def completions(self, request: web.Request) -> web.StreamResponse:
        return await self._openai(request, chat=False)

    async def _openai(self, request: web.Request, chat: bool) -> web.StreamResponse:
        body = await self._body(request)
        model = body["model"]
        if model == "missing":
            refusal = {"error": {"message": "model 'missing' not found", "type": "not_found_error"}}
            return web.json_response(refusal, status=404)
        if self.strict and "stream_options" in body:
            return web.json_response({"detail": "stream_options: extra field"}, status=422)
        size = self._size(body)
        usage: dict[str, Any] = {
            "prompt_tokens": PROMPT, "completion_tokens": size, "total_tokens": PROMPT + size
        }  # fmt: skip
        if model == "caching":
            usage["prompt_tokens_details"] = {"cached_tokens": CACHED}
        reason = "tool_calls" if "tools" in body else "length" if size >= 50 else "stop"
        head = {"id": "chatcmpl-498", "object": "chat.completion.chunk", "created": 1, "model": model}
        many = range(body.get("n") or 1)
        if not body.get("stream"):
            message = {"role": "assistant", "content": 'says "usage": {"prompt_tokens": 9}' + "x" * size}
            choices = [{"index": i, "message": message, "finish_reason": reason} for i in many]
            whole = json.dumps(head | {"choices": choices, "usage": usage}).encode()
            if request.headers.get("Accept-Encoding", "").startswith("gzip"):
                zipped = gzip.compress(whole)
                return web.Response(
                    body=zipped, headers={"Content-Encoding": "gzip"}, content_type="application/json"
                )
            return web.Response(body=whole, content_type="application/json")
        asked = (body.get("stream_options") or {}).get("include_usage") is True
        early = (
            {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
            if asked and not chat
            else {}
        )
        chunks: list[dict[str, Any]] = []
        for i in many:
            if chat:
                chunks.append(
                    {
                        "choices": [
                            {"index": i, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
                        ]
                    }
                )
            for at in range(0, size, 4):
                text = "tok " * min(4, size - at)
                piece = {"delta": {"content": text}} if chat else {"text": text}
                chunks.append({"choices": [{"index": i, **piece, "finish_reason": None}]})
            end: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
            chunks.append({"choices": [{"index": i, **end, "finish_reason": reason}]})
        pieces = [_event(head | chunk | early) for chunk in chunks]
        if asked:
            pieces.append(_event(head | {"choices": [], "usage": usage}))
        return await self._stream(request, "text/event-stream", [*pieces, b"data: [DONE]\n\n"])

    async def responses(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        size = self._size(body)
        usage = {
            "input_tokens": PROMPT, "input_tokens_details": {"cached_tokens": CACHED}, "output_tokens": size,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": PROMPT + size,
        }  # fmt: skip
        begun = {
            "id": "resp_1",
            "object": "response",
            "status": "in_progress",
            "model": body["model"],
            "usage": None,
        }
        if size >= 50:
            done = begun | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        else:
            done = begun | {"status": "completed", "incomplete_details": None}
        done |= {"usage": usage}
        if not body.get("stream"):
            return web.json_response(done)
        events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        events += [{"type": "response.output_text.delta", "delta": "tok "} for _ in range(size)]
        events.append({"type": f"response.{done['status']}", "response": done})
        pieces = [f"event: {event['type']}\n".encode() + _event(event) for event in events]
        return await self._stream(request, "text/event-stream; charset=utf-8", pieces)

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        size = self._size(body)
        usage = {
            "input_tokens": PROMPT - CACHED, "cache_read_input_tokens": CACHED,
            "cache_creation_input_tokens": 0, "output_tokens": 1,
        }  # fmt: skip
        begun = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": [],
            "stop_reason": None, "usage": usage,
        }  # fmt: skip
        events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
        events += [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "tok"}}
            for _ in range(size)
        ]
        events.append(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": size},
            }
        )
        events.append({"type": "message_stop"})
        pieces = [f"event: {event['type']}\n".encode() + _event(event) for event in events]
        return await self._stream(request, "text/event-stream", pieces)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        data = [{"object": "embedding", "index": 0, "embedding": [0.125] * body.get("size", 8)}]
        usage = {"prompt_tokens": PROMPT, "total_tokens": PROMPT}
        return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})

    async def embed(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        vectors = [[0.0101] * body.get("size", 8)]
        return web.json_response(
            {
                "model": body["model"],
                "embeddings": vectors,
                "total_duration": 14143917,
                "prompt_eval_count": PROMPT,
            }
        )

    async def native(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        if body["model"] == "missing":
            return web.json_response({"error": "model 'missing' not found"}, status=404)
        chat = request.path == "/api/chat"
        head = {"model": body["model"], "created_at": "2023-08-04T08:52:19.385406455-07:00"}
        if not chat and not body.get("prompt"):
            return web.json_response(head | {"response": "", "done": True, "done_reason": "load"})
        size = self._size(body)

        def piece(text: str) -> dict[str, Any]:
            return {"message": {"role": "assistant", "content": text}} if chat else {"response": text}

        end = {
            "done": True, "done_reason": "length" if size >= 50 else "stop", "total_duration": 4883583458,
            "load_duration": 1334875, "prompt_eval_count": PROMPT, "prompt_eval_duration": 342546000,
            "eval_count": size, "eval_duration": 4535599000,
        }  # fmt: skip
        if body.get("stream") is False:
            return web.json_response(head | piece("tok " * size) | end)
        parts = [head | piece("tok " * min(3, size - at)) | {"done": False} for at in range(0, size, 3)]
        lines = [json.dumps(part).encode() + b"\n" for part in [*parts, head | piece("") | end]]
        if body["model"] == "breaking":
            lines = [*lines[:2], b'{"error":"an error was encountered while running the model"}\n']
        return await self._stream(request, "application/x-ndjson", lines)


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"
