"""The listening socket and the server's address. Light: the supervisor of several fronts imports no web framework."""

from __future__ import annotations

import socket
import ssl

from loguru import logger

from steno.errors import SettingsError
from steno.settings import Settings

BACKLOG = 1024


def listen(settings: Settings) -> socket.socket:
    """Listen on `HOST` and `PORT`.

    Raises:
        SettingsError: that is not possible, or the certificate is invalid.
    """
    _check_certificate(settings)
    listener = _bound(settings.host, settings.port)
    if settings.is_public and not settings.api_keys:
        logger.warning("{} is open to the network without API_KEYS: anyone can use it", settings.host)
    return listener


def url_of(settings: Settings, listener: socket.socket) -> str:
    scheme = "https" if settings.ssl_certfile else "http"
    return f"{scheme}://{_url_host(settings.host)}:{listener.getsockname()[1]}"


def _check_certificate(settings: Settings) -> None:
    if settings.ssl_certfile is None or settings.ssl_keyfile is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except (OSError, ssl.SSLError) as error:
        text = "invalid SSL_CERTFILE or SSL_KEYFILE; expected a PEM certificate and its key"
        raise SettingsError(f"{text}: {error.strerror or error}") from None


def _bound(host: str, port: int) -> socket.socket:
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        reason = error.strerror if isinstance(error, OSError) else "invalid host name"
        raise SettingsError(f"cannot listen on HOST={host} PORT={port}: {reason}; choose another") from None
    return listener


def _url_host(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host
