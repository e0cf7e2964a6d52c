"""Translates errors of huggingface_hub and of HTTP into `StenoError`s that say what to do."""

from __future__ import annotations

import errno

import httpx

from steno.errors import ModelLoadError, SettingsError, StenoError


def translate(error: Exception, model_id: str, revision: str | None, param: str) -> StenoError | None:
    """The `StenoError` for an error of the hub; None = another kind of error."""
    from huggingface_hub import errors

    if isinstance(error, StenoError):
        return error
    if isinstance(error, errors.GatedRepoError):
        return ModelLoadError(
            f"{model_id} is gated: accept its terms at {_endpoint()}/{model_id} and set HF_TOKEN to your token"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return SettingsError(f"{model_id} has no revision {revision!r}; correct MODEL_REVISION", param="MODEL_REVISION")
    if isinstance(error, errors.RepositoryNotFoundError):
        return SettingsError(
            f"there is no model {model_id} on {_endpoint()}, or it is private: correct {param}, or set HF_TOKEN",
            param=param,
        )
    if isinstance(error, errors.HfHubHTTPError | httpx.HTTPStatusError):
        return _status_error(error.response.status_code, model_id)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelLoadError(f"{model_id}: the disk is full; set HF_HOME to a folder with more space")
    if isinstance(error, PermissionError):
        return ModelLoadError(f"{model_id}: {error.filename} cannot be written; set HF_HOME to a writable folder")
    if _is_network(error):
        return ModelLoadError(
            f"{model_id} could not be downloaded: {_endpoint()} does not answer ({type(error).__name__}); check the "
            "network (HTTPS_PROXY, HF_ENDPOINT), or use a local folder; the partial download is kept"
        )
    if isinstance(error, ValueError | KeyError | TypeError):
        return ModelLoadError(
            f"{model_id} could not be downloaded: {_endpoint()} does not answer like the Hugging Face hub "
            f"({type(error).__name__}); check HF_ENDPOINT, and whether a proxy answers in its place"
        )
    return None


def _status_error(status: int, model_id: str) -> ModelLoadError:
    if status in (401, 403):
        return ModelLoadError(f"{_endpoint()} refuses {model_id} ({status}): correct HF_TOKEN, or unset it")
    what_to_do = "try again later" if status == 429 or status >= 500 else "check MODEL_ID and HF_ENDPOINT"
    return ModelLoadError(f"{_endpoint()} answers {status} for {model_id}: {what_to_do}")


def _is_network(error: Exception) -> bool:
    """huggingface_hub uses httpx or httpx2, depending on its version, and wraps some of their errors."""
    from huggingface_hub import errors

    transport: tuple[type[Exception], ...] = (httpx.HTTPError, ConnectionError, TimeoutError)
    hub_http_error = vars(errors).get("HTTPError")
    if hub_http_error is not None:
        transport += (hub_http_error,)
    return isinstance(error, (*transport, errors.LocalEntryNotFoundError, errors.FileMetadataError))


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
