"""`steno models` and `steno models pull`."""

from __future__ import annotations

from typing import Any

import click

from steno.cli.pull import command as pull
from steno.client import Client, ServerError


@click.group(invoke_without_command=True)
@click.option("--url", envvar="STENO_URL", metavar="URL", help="Ask this server. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
@click.pass_context
def command(context: click.Context, url: str | None, api_key: str | None) -> None:
    """List models: what a server serves (--url), or what this machine could serve; `pull` downloads one."""
    if context.invoked_subcommand is not None:
        return
    if url:
        with Client(url, api_key) as client:
            for line in _lines(client.get("/v1/models")):
                click.echo(line)
        return
    from steno.backends import registry

    for name in registry.public_names():
        spec, available = registry.spec_of(name), registry.availability(name)
        click.echo(f"{name:10} {spec.summary}")
        click.echo(f"{'':10} {'available' if available.ok else 'not available: ' + available.reason}")
        for model in _models(name):
            click.echo(f"{'':12} {model}")


command.add_command(pull)


def _models(backend: str) -> list[str]:
    """What MODEL_ID may be for the backend, as far as it is known beforehand."""
    from steno.backends import registry

    if backend == "moonshine":
        from steno.backends.moonshine.installed import MODEL_ID

        return [MODEL_ID, "or a folder of the same files (MODEL_LANGUAGE says what it speaks)"]
    if backend != "qwen":
        return list(registry.spec_of(backend).models or ())
    from steno import settings
    from steno.backends.qwen.checkpoint import model_source

    chosen = settings.load()
    cached = model_source.cached_models(chosen.hf_home)
    known = [*model_source.KNOWN_MODELS, *(model for model in cached if model not in model_source.KNOWN_MODELS)]
    return [f"{model}{'  (downloaded)' if model in cached else ''}" for model in known] + ["or a folder"]


def _lines(answer: Any) -> list[str]:
    """One a model. `loaded` and `aliases` are steno's own: other servers of OpenAI's API have neither."""
    try:
        return [f"{model['id']}{_known(model)}" for model in answer["data"]]
    except (KeyError, TypeError):
        raise ServerError("the server's answer is not OpenAI's list of models") from None


def _known(model: dict[str, Any]) -> str:
    known = []
    if "loaded" in model:
        known.append("loaded" if model["loaded"] else "not loaded")
    if model.get("aliases"):
        known.append(f"also known as {', '.join(model['aliases'])}")
    return f"  ({'; '.join(known)})" if known else ""
