"""`steno models pull`: downloads a model into the cache."""

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
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(model: str | None, revision: str | None, quiet: bool) -> None:
    """Download and verify a Qwen3-ASR model, or its forced aligner.

    ID is a name on Hugging Face. Default: all models that the settings need: MODEL_ID, or Qwen/Qwen3-ASR-0.6B, the
    small model of USE_SPECULATIVE and DUAL_MODEL, and FORCED_ALIGNER_ID. Files in the cache are not downloaded again;
    an interrupted download is resumed.
    """
    from steno import logs, settings
    from steno.backends.qwen.checkpoint import model_source
    from steno.cli.progress import RunProgress

    config = settings.load(model_revision=revision)
    logs.setup("WARNING" if config.log_level == "INFO" else config.log_level, config.log_json)
    found = []
    try:
        with RunProgress(quiet=quiet) as progress:
            for model_ref in _requested(model, config):
                with progress.of(model_ref.model_id) as recording:
                    found.append((model_source.resolve(model_ref, recording.part, refresh=True), model_ref.revision))
    except KeyboardInterrupt:
        click.echo("steno: interrupted; the same command resumes the download", err=True)
        raise click.Abort from None
    for one, its_revision in found:
        for line in _describe(one, its_revision):
            click.echo(line)


def _requested(model: str | None, settings: Settings) -> list[ModelRef]:
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


def _describe(found: CheckpointSource, revision: str | None) -> list[str]:
    from steno.backends.qwen.checkpoint.model_source import PARAMS
    from steno.backends.qwen.checkpoint.weights import gigabytes

    what = {"recogniser": "recogniser", "aligner": "forced aligner"}[found.kind]
    use = [f"{PARAMS[found.kind]}={shlex.quote(found.model_id)}"]
    if found.kind == "recogniser":
        use.insert(0, "ASR_BACKEND=qwen")
        use += [f"MODEL_REVISION={shlex.quote(revision)}"] if revision else []
    return [
        f"{found.model_id}: {what}, {found.parameters / 1e6:.3g} M parameters, {gigabytes(found.size_bytes)}",
        f"folder: {found.folder}",
        f"use it: {' '.join(use)} steno serve",
    ]
