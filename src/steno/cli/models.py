"""`steno models`."""

from __future__ import annotations

import click

from steno.client import Client


@click.command()
@click.option("--url", envvar="STENO_URL", metavar="URL", help="Ask this server. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
def command(url: str | None, api_key: str | None) -> None:
    """List models: what a server serves (--url), or what this machine could serve."""
    if url:
        with Client(url, api_key) as client:
            for model in client.get("/v1/models")["data"]:
                state = "loaded" if model["loaded"] else "not loaded"
                click.echo(f"{model['id']}  ({state}; also known as {', '.join(model['aliases'])})")
        return
    from steno.backends import registry

    for name in registry.public_names():
        spec, available = registry.spec_of(name), registry.availability(name)
        click.echo(f"{name:8} {spec.summary}")
        click.echo(f"{'':8} {'available' if available.ok else 'not available: ' + available.reason}")
