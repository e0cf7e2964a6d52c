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
- `options`    which models to load, and where
- `loader`     all of it together: a model that is ready, with its processor

Listening, `machine` being all that a loaded checkpoint is:
- `prompt`     what the model is asked
- `frontend`   samples → log-mel, as they come
- `sound`      what has been computed of a clip, and is kept
- `encoder`    log-mel → embeddings, only what is new
- `slots`      keys and values, a row for each piece
- `layers`     the language model over such rows
- `decoder`    embeddings and drafts → tokens
- `text`       tokens → what was said

Many at once:
- `rows`       one hearing of one clip
- `waiting`    who is next
- `places`     whose slot is whose, and what stays of a live utterance
- `runner`     rows through one machine
- `paths`      through one model, or a small one first
- `backend`    the `StepBackend`: what a piece of work becomes, and what its text means
- `aligner`    another model, for the times of words
- `quantize`, `memory`, `accelerate`  weights in eight bits, memory given back, what only CUDA has
- `assembly`   all of this, of options
"""
