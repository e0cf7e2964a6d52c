"""Normalises paths: a proxy's prefix and trailing slashes."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class PathPrefix:
    """Removes a path's trailing slashes and prefixes it with `ROOT_PATH`, as ASGI requires.

    A proxy may remove its prefix or keep it. A path with a trailing slash is served, not redirected: a redirect would
    contain the scheme and host that this server sees, not those that the client used.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        """`root_path`: begins with a slash and does not end with one; or empty."""
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path = self._root_path + self._without_prefix(scope["path"])
            scope = {**scope, "path": path, "root_path": self._root_path}
        await self._app(scope, receive, send)

    def _without_prefix(self, path: str) -> str:
        if self._root_path and (path == self._root_path or path.startswith(f"{self._root_path}/")):
            path = path.removeprefix(self._root_path)
        return path.rstrip("/") or "/"


def local_path(scope: Scope) -> str:
    """A request's path without a proxy's prefix. Works behind `PathPrefix`."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
