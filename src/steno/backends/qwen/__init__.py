"""Qwen3-ASR on torch. Nothing is imported here: the package costs nothing until a model is loaded.

Finding and loading:
- `installed`  what is missing on this machine, and whether `auto` should choose this backend; imports nothing heavy
- `source`     what `MODEL_ID` means: a folder, or a hub id that the allow-list has; where its files lie
- `hub`        the hub's cache, and downloads into it
- `hub_errors` what goes wrong with the hub, and what to do about it
- `partial`    a large file over HTTP, which goes on where an earlier try ended
- `folder`     what a folder holds: which layout, recogniser or aligner, whether its files are all there
- `weights`    safetensors headers: whether a file is whole, and how many parameters it has
- `original`   Qwen's own layout turned into transformers' native one, in memory
- `device`     device, dtype and threads
- `room`       whether the weights fit
- `options`    which model to load, and where
- `loader`     all of it together: a model that is ready, with its processor
"""
