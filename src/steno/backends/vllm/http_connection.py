"""HTTP to one vLLM server: bounded answers, timed calls; httpx's errors become ours here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from steno.backends.vllm.server_errors import KeyRefusedError, ServerFailedError, ServerLostError

if TYPE_CHECKING:
    from steno.backends.vllm.transcriptions_wire import PieceForm

CONNECT_S = 5.0
WRITE_S = 30.0
MAX_ANSWER = 4_000_000
"""Max size of an answer, in bytes: the longest text has some 1,300 tokens of 150 bytes each."""
KEEP_ALIVE_S = 4.0
"""vLLM closes idle connections after 5 s; a request on one that it is just closing would fail."""


class HttpConnection:
    """A client with its own connections. Callers limit the time of a call by `asyncio.timeout`; cancelling one closes
    its connection, which aborts the request in vLLM.

    Args:
        url: without `/v1`.
        connections: max open connections.
    """

    def __init__(self, url: str, api_key: str | None, connections: int) -> None:
        headers = {"accept-encoding": "identity"}
        if api_key is not None:
            headers["authorization"] = f"Bearer {api_key}"
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(None, connect=CONNECT_S, write=WRITE_S),
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=KEEP_ALIVE_S),
        )

    async def get(self, path: str) -> tuple[int, bytes]:
        return await self._call("GET", path)

    async def post_json(self, path: str, body: bytes) -> tuple[int, bytes]:
        return await self._call("POST", path, content=body, headers={"content-type": "application/json"})

    async def post_form(self, path: str, form: PieceForm) -> tuple[int, bytes]:
        return await self._call("POST", path, data=form.fields, files={"file": ("piece.wav", form.wav, "audio/wav")})

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _call(self, method: str, path: str, **parts: Any) -> tuple[int, bytes]:
        """Status and body.

        Raises:
            ServerLostError: no whole answer came.
            ServerFailedError: the answer is too long.
            KeyRefusedError: 401.
        """
        body = bytearray()
        try:
            async with self._client.stream(method, path, **parts) as response:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise ServerFailedError(f"answered with more than {MAX_ANSWER} bytes")
        except httpx.ConnectTimeout:
            raise ServerLostError(f"did not accept a connection within {CONNECT_S:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerLostError(f"cannot be reached: {str(error) or type(error).__name__}") from None
        if response.status_code == 401:
            raise KeyRefusedError("refuses the key of VLLM_API_KEY, or needs one")
        return response.status_code, bytes(body)
