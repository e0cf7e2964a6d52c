"""`steno models pull`: download a model into the cache before it is needed."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.model_source import CheckpointSource, ModelRef
    from steno.settings import Settings


@click.command(name="pull")
@click.argument("model", required=False, metavar="[ID]")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit. [MODEL_REVISION]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(model: str | None, revision: str | None, quiet: bool) -> None:
    """Download a Qwen3-ASR model, or its forced aligner, and check it.

    ID is a name on Hugging Face; by default all that the settings ask for: MODEL_ID, or Qwen/Qwen3-ASR-0.6B, the
    small model of USE_SPECULATIVE and DUAL_MODEL, and FORCED_ALIGNER_ID. What is there already is not fetched again:
    an interrupted download goes on where it ended.
    """
    from steno import logs, settings
    from steno.backends.qwen.checkpoint import model_source
    from steno.cli.progress import RunProgress

    chosen = settings.load(model_revision=revision)
    logs.setup("WARNING" if chosen.log_level == "INFO" else chosen.log_level, chosen.log_json)
    found = []
    try:
        with RunProgress(quiet=quiet) as progress:
            for wanted in _wanted(model, chosen):
                with progress.of(wanted.model_id) as shown:
                    found.append((model_source.resolve(wanted, shown.part, refresh=True), wanted.revision))
    except KeyboardInterrupt:
        click.echo("steno: interrupted; what has arrived is kept: the same command goes on from there", err=True)
        raise click.Abort from None
    for one, its_revision in found:
        for line in _told(one, its_revision):
            click.echo(line)


def _wanted(model: str | None, settings: Settings) -> list[ModelRef]:
    from steno.backends.qwen.engine_options import aligner_of, checkpoints_of
    from steno.compose import backend_options_of

    options = backend_options_of(settings)
    if model is None:
        asked = [one for one in checkpoints_of(options) if one is not None]
        if options.aligner_id is not None:
            asked.append(aligner_of(options, options.aligner_id))
    else:
        asked = [checkpoints_of(replace(options, model_id=model)).model]
    return [one.model_ref(kind=None) for one in asked]


def _told(found: CheckpointSource, revision: str | None) -> list[str]:
    from steno.backends.qwen.checkpoint.model_source import PARAMS
    from steno.backends.qwen.checkpoint.weights import gigabytes

    what = {"recogniser": "recogniser", "aligner": "forced aligner"}[found.kind]
    use = [f"{PARAMS[found.kind]}={shlex.quote(found.model_id)}"]
    if found.kind == "recogniser":
        use.insert(0, "ASR_BACKEND=qwen")
        use += [f"MODEL_REVISION={shlex.quote(revision)}"] if revision else []
    return [
        f"{found.model_id}: {what}, {found.parameters / 1e6:.3g} M parameters, {gigabytes(found.size_bytes)}",
        f"lies in {found.folder}",
        f"use it: {' '.join(use)} steno serve",
    ]
