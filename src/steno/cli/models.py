"""`steno models` and `steno models pull`."""

from __future__ import annotations

from typing import Any

import click

from steno.cli.pull import command as pull
from steno.client import Client, ServerError


@click.group(invoke_without_command=True)
@click.option("--url", envvar="STENO_URL", metavar="URL", help="List the models of this server. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
@click.pass_context
def command(context: click.Context, url: str | None, api_key: str | None) -> None:
    """List models: those of a server (--url), or those that this machine could serve. `pull` downloads one."""
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
    """Known values of MODEL_ID for the backend."""
    from steno.backends import registry

    if backend == "moonshine":
        from steno.backends.moonshine.installed import MODEL_ID

        return [MODEL_ID, "or a folder of the same files (with its language in MODEL_LANGUAGE)"]
    if backend != "qwen":
        return list(registry.spec_of(backend).models or ())
    from steno import settings
    from steno.backends.qwen.checkpoint import model_source

    config = settings.load()
    cached = model_source.cached_models(config.hf_home)
    known = [*model_source.KNOWN_MODELS, *(model for model in cached if model not in model_source.KNOWN_MODELS)]
    return [f"{model}{'  (downloaded)' if model in cached else ''}" for model in known] + ["or a folder"]


def _lines(answer: Any) -> list[str]:
    """One line per model. `loaded` and `aliases` are steno's; other servers with OpenAI's API have neither."""
    try:
        return [f"{model['id']}{_known(model)}" for model in answer["data"]]
    except (KeyError, TypeError):
        raise ServerError("invalid response; expected OpenAI's list of models") from None


def _known(model: dict[str, Any]) -> str:
    known = []
    if "loaded" in model:
        known.append("loaded" if model["loaded"] else "not loaded")
    if model.get("aliases"):
        known.append(f"also known as {', '.join(model['aliases'])}")
    return f"  ({'; '.join(known)})" if known else ""
