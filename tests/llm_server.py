"""A real HTTP server that plays an OpenAI-compatible LLM, well or badly behaved."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, TypeAlias

from http_thread import HttpThread

Lines: TypeAlias = list[dict[str, Any]]
"""The `lines` of a request: `{"i": 1, "text": "…"}`."""


class Answer:
    """What the LLM says to one request.

    Args:
        text: the message's content, whatever it is.
        status: of HTTP; anything but 200 comes with an error body.
        hang_s: wait so long first.
        disconnect: close the connection without an answer.
        raw: the body, in place of a chat completion.
    """

    def __init__(
        self,
        text: str = "",
        status: int = 200,
        hang_s: float = 0,
        disconnect: bool = False,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.text, self.status, self.hang_s, self.disconnect = text, status, hang_s, disconnect
        self.headers = headers or {}
        self.raw = raw


Behaviour: TypeAlias = Callable[[Lines, dict[str, Any]], Answer]


def translated(text: str, target: str) -> str:
    """What a good LLM makes of `text`; recognisable, and in the target's script."""
    return f"{text} 好的好的好的" if target == "Chinese" else f"{text} ({target[:2].lower()})"


def as_json(lines: Lines) -> str:
    return json.dumps({"lines": lines}, ensure_ascii=False)


def good(lines: Lines, request: dict[str, Any]) -> Answer:
    target = question_of(request)["target"]
    return Answer(as_json([{"i": line["i"], "text": translated(line["text"], target)} for line in lines]))


def question_of(request: dict[str, Any]) -> dict[str, Any]:
    question: dict[str, Any] = json.loads(request["messages"][1]["content"])
    return question


class LlmServer:
    """Runs while its `with` does. `behaviours` answer the first requests, one each; then `then` answers all."""

    def __init__(self, *behaviours: Behaviour, then: Behaviour = good) -> None:
        self._behaviours = list(behaviours)
        self._then = then
        self._lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0

    def turn(self, then: Behaviour) -> None:
        """From now on it answers like this; what it was asked until now is forgotten."""
        self._then = then
        self.requests = []

    def __enter__(self) -> LlmServer:
        llm = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                llm.serve(self, body)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = HttpThread(Handler)
        self.url = f"{self._server.url}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()

    def serve(self, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        with self._lock:
            behave = self._behaviours.pop(0) if self._behaviours else self._then
            self.requests.append(request)
            self.times.append(time.monotonic())
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self._answer(handler, behave(question_of(request)["lines"], request))
        finally:
            with self._lock:
                self.at_once -= 1

    def _answer(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        time.sleep(answer.hang_s)
        if answer.disconnect:
            handler.close_connection = True
            return
        if answer.status == 200:
            document: dict[str, Any] = {
                "id": "x", "object": "chat.completion", "created": 0, "model": "test",
                "choices": [{"index": 0, "finish_reason": "stop",
                             "message": {"role": "assistant", "content": answer.text}}],
            }  # fmt: skip
        else:
            document = {"error": {"message": answer.text or "no", "type": "x", "code": "x"}}
        body = answer.raw if answer.raw is not None else json.dumps(document).encode()
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
