"""`steno export encoder`: a model's encoder as a file for another runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from steno.backends.qwen.encoders.encoder_file import EncoderDtype
    from steno.backends.qwen.engine_options import LoadOptions
    from steno.settings import Settings


@click.group()
def command() -> None:
    """Write parts of a model for faster runtimes."""


@command.command()
@click.option("--model", metavar="FOLDER|ID", help="The checkpoint. [MODEL_ID]")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit. [MODEL_REVISION]")
@click.option("--onnx", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="For ONNX Runtime.")
@click.option(
    "--tensorrt",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="For TensorRT, on the GPU of this machine.",
)
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16 is for GPUs, int8 for CPUs.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def encoder(
    model: str | None, revision: str | None, onnx: Path | None, tensorrt: Path | None, dtype: EncoderDtype, quiet: bool
) -> None:
    """Write the audio encoder of a Qwen3-ASR model for ONNX Runtime or TensorRT.

    The server runs it with ONNX_ENCODER_PATH=FILE or TRT_ENCODER_PATH=FILE, and with this checkpoint alone. An ONNX
    file is compared with torch before it is put in place.

    \b
    steno export encoder --onnx encoder.onnx.zip
    steno export encoder --model Qwen/Qwen3-ASR-1.7B --onnx large.onnx.zip --dtype int8
    steno export encoder --tensorrt encoder.trt.zip --dtype fp16
    """
    from steno import logs, settings
    from steno.backends.qwen.encoders.encoder_export import check_packages, describe, export_encoder
    from steno.cli.progress import RunProgress

    if onnx is None and tensorrt is None:
        raise click.UsageError("say which file to write: --onnx FILE, --tensorrt FILE, or both")
    config = settings.load(model_id=model, model_revision=revision)
    logs.setup("WARNING" if config.log_level == "INFO" else config.log_level, config.log_json)
    check_packages(onnx, tensorrt, dtype)
    options = _checkpoint(config)
    try:
        with RunProgress(quiet=quiet) as progress, progress.of(options.model_id) as recording:
            found = export_encoder(options, onnx, tensorrt, dtype, recording.part)
    except KeyboardInterrupt:
        click.echo("steno: interrupted; nothing was written", err=True)
        raise click.Abort from None
    for line in describe(found):
        click.echo(line)
    for name, path in (("ONNX_ENCODER_PATH", onnx), ("TRT_ENCODER_PATH", tensorrt)):
        if path is not None:
            click.echo(f"use it: {name}={path} steno serve")


def _checkpoint(config: Settings) -> LoadOptions:
    """The recogniser that the settings name, on the CPU in float32."""
    from steno.backends.qwen.engine_options import checkpoints_of
    from steno.compose import backend_options_of

    options = replace(backend_options_of(config), device="cpu", dtype="float32", quantize="none")
    return checkpoints_of(options).model
