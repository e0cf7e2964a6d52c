"""The file of an exported encoder: a zip archive, uncompressed, of a manifest and two models.

    encoder.json        which checkpoint, which sizes and dtype, which runtime
    convolution.onnx    or .engine
    attention.onnx      or .engine

One file, because a variable names one path, and two models, because each has inputs of its own. zip's checksums detect
damage, and `unzip` gives plain ONNX models. Light to import: the manifest is checked when the server starts.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from steno.errors import ModelLoadError, SettingsError
from steno.whole_file import new_file

FORMAT = 1
"""Version of the format; another one is refused."""
MANIFEST = "encoder.json"
MAX_MANIFEST_BYTES = 100_000

EncoderRuntime: TypeAlias = Literal["onnxruntime", "tensorrt"]
EncoderDtype: TypeAlias = Literal["fp32", "fp16", "int8"]
Part: TypeAlias = Literal["convolution", "attention"]

VARIABLES: dict[EncoderRuntime, str] = {"onnxruntime": "ONNX_ENCODER_PATH", "tensorrt": "TRT_ENCODER_PATH"}
OPTIONS: dict[EncoderRuntime, str] = {"onnxruntime": "--onnx", "tensorrt": "--tensorrt"}
EXTENSIONS: dict[EncoderRuntime, str] = {"onnxruntime": "onnx", "tensorrt": "engine"}


@dataclass(frozen=True, slots=True)
class EncoderSizes:
    """Sizes that a file and a checkpoint must agree on."""

    bands: int
    d_model: int
    hidden: int
    layers: int
    window_tokens: int
    """Tokens of a complete window."""


@dataclass(frozen=True, slots=True)
class EngineTarget:
    """What a TensorRT engine was built for; it runs nowhere else."""

    tensorrt: str
    gpu: str
    capability: tuple[int, int]
    max_chunks: int
    max_windows: int


@dataclass(frozen=True, slots=True)
class EncoderManifest:
    """What a file contains."""

    format: int
    runtime: EncoderRuntime
    model_id: str
    """What the checkpoint was called where it was exported."""
    weights: str
    """`encoder_checksum` of the checkpoint."""
    dtype: EncoderDtype
    sizes: EncoderSizes
    target: EngineTarget | None = None


@dataclass(frozen=True, slots=True)
class EncoderRef:
    """The file that a setting names."""

    path: Path
    runtime: EncoderRuntime

    @property
    def variable(self) -> str:
        return VARIABLES[self.runtime]


@dataclass(frozen=True, slots=True)
class EncoderFile:
    """A file whose manifest was read."""

    ref: EncoderRef
    manifest: EncoderManifest
    size_bytes: int

    def part(self, part: Part) -> bytes:
        """One of the two models. Raises ModelLoadError: the file is damaged."""
        name = _name(part, self.manifest.runtime)
        try:
            with zipfile.ZipFile(self.ref.path) as archive:
                return archive.read(name)
        except (OSError, KeyError, zipfile.BadZipFile, EOFError) as error:
            raise ModelLoadError(f"{self.ref.variable}: {self.ref.path} is damaged: {error}; export it again") from None


def open_encoder_file(ref: EncoderRef) -> EncoderFile:
    """Read the manifest; the models are not read.

    Raises:
        SettingsError: there is no such file, it is no exported encoder, or it is for another runtime or version.
    """
    if not ref.path.is_file():
        raise _refused(ref, "no such file")
    try:
        with zipfile.ZipFile(ref.path) as archive, archive.open(MANIFEST) as stream:
            text = stream.read(MAX_MANIFEST_BYTES)
        found = msgspec.json.decode(text)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise _refused(ref, "it was exported by another version of steno; export it again")
        manifest = msgspec.convert(found, EncoderManifest)
    except (OSError, KeyError, zipfile.BadZipFile, EOFError, msgspec.MsgspecError):
        how = f"it was not written by `steno export encoder {OPTIONS[ref.runtime]}`, or is damaged"
        raise _refused(ref, how) from None
    if manifest.runtime != ref.runtime:
        raise _refused(ref, f"it is for {VARIABLES[manifest.runtime]}")
    return EncoderFile(ref, manifest, ref.path.stat().st_size)


def write_encoder_file(path: Path, manifest: EncoderManifest, parts: Mapping[Part, bytes]) -> None:
    """Write a temporary file and move it into place: an interrupted export leaves what was there before."""
    with new_file(path.resolve()) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        for part, content in parts.items():
            archive.writestr(_name(part, manifest.runtime), content)


def _name(part: Part, runtime: EncoderRuntime) -> str:
    return f"{part}.{EXTENSIONS[runtime]}"


def _refused(ref: EncoderRef, why: str) -> SettingsError:
    return SettingsError(f"{ref.variable}={ref.path}: {why}", param=ref.variable)
