"""Whether the vLLM servers of `VLLM_BASE_URL` answer, for `steno doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

ANSWER_S = 3.0
"""Time limit for each server; all are asked at once."""


def problems_of(urls: Sequence[str], key: str | None) -> list[str | None]:
    """Of each server why it cannot be used, as a phrase that follows its name; None = it lists its models."""
    return asyncio.run(_problems_of(urls, key))


async def _problems_of(urls: Sequence[str], key: str | None) -> list[str | None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_problem_of(url, key)) for url in urls]
    return [task.result() for task in tasks]


async def _problem_of(url: str, key: str | None) -> str | None:
    from steno.backends.vllm.http_connection import HttpConnection
    from steno.backends.vllm.server_errors import ServerFailedError

    connection = HttpConnection(url, key, 1)
    try:
        async with asyncio.timeout(ANSWER_S):
            status, _ = await connection.get("/v1/models")
    except TimeoutError:
        return f"does not answer within {ANSWER_S:g} s"
    except ServerFailedError as error:
        return error.message
    finally:
        await connection.aclose()
    return None if status == 200 else f"answered /v1/models with {status}"
