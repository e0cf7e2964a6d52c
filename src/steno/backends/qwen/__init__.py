"""Qwen3-ASR on torch: steno's own engine, with continuous batching, incremental encoding and speculative decoding.

Importing the package loads nothing. Its modules:

- `backend`          the `StepBackend`: work → requests, tokens → text
- `factory`          options → backend; the registry's entry point
- `assembly`         loads the models of a cascade and builds their runners
- `engine_options`   which checkpoints to load, where, with how many slots
- `installed`        whether torch and transformers are installed, and whether `auto` chooses this backend
- `forced_aligner`   Qwen3-ForcedAligner: word times of a known text

Checkpoint files:

- `checkpoint.model_source`   resolves `MODEL_ID`: a local folder, or an allowed model of the hub
- `checkpoint.hub`            the hub's cache, and downloads into it
- `checkpoint.download`       HTTP download that resumes across processes
- `checkpoint.hub_errors`     errors of the hub → `StenoError`
- `checkpoint.folder`         checks a folder: layout, kind, completeness
- `checkpoint.weights`        safetensors headers: completeness, parameter count
- `checkpoint.legacy_layout`  Qwen's own layout → transformers' native one
- `checkpoint.encoder_checksum`  whether an exported encoder is that of a checkpoint
- `checkpoint.loader`         checkpoint → loaded model and processor

The model:

- `model.model`            a loaded recogniser: all parts below around one checkpoint
- `model.audio_state`      incremental encoder state of one clip
- `model.encoder`          which chunks and windows to encode, in what batches
- `model.audio_encoder`    log-mel → audio embeddings: the seam that runtimes stand behind
- `model.torch_encoder`    the encoder on torch
- `model.decoder`          prefill, decode, verify: embeddings → logits, and slots
- `model.sampling`         logits → tokens and logprobs
- `model.layers`           the transformer layers over the KV cache
- `model.kv_cache`         the slotted KV cache
- `model.slot_pool`        the memory of one class of slots
- `model.slot_classes`     short and long slots, and how many of each
- `model.device`           device, dtype, threads
- `model.memory_plan`      whether weights and KV cache slots fit into memory
- `model.memory_usage`     memory that a loaded model uses
- `model.precision`        `QUANTIZE`: which precision a checkpoint gets
- `model.quantize`         quantises the weights of a loaded recogniser
- `model.int8_linear`      a linear layer with int8 weights and activations, for CPUs
- `model.int8_conv`        a convolution with int8 weights and activations, for CPUs
- `model.projections`      merges linear layers that read the same input
- `model.cuda.graphs`      decoding steps as CUDA graphs
- `model.cuda.fp8_linear`  a linear layer with float8 weights and activations
- `model.cuda.cuda_stream` the model's CUDA stream
- `model.cuda.transfers`   copies between host and GPU through pinned memory
- `model.cuda.flash_attention`  flash-attn in the encoder

Encoders on other runtimes than torch:

- `encoders.encoder_file`      the file of an exported encoder, and what its manifest says
- `encoders.encoder_choice`    whether a file fits the checkpoint; who computes the encoder
- `encoders.fallback_encoder`  falls back to torch at the first failure
- `encoders.onnx_encoder`      the encoder on ONNX Runtime
- `encoders.onnx_graph`        the encoder's weights → ONNX models
- `encoders.encoder_export`            writes the file, and compares it with torch first
- `encoders.tensorrt_encoder`  the encoder on TensorRT
- `encoders.tensorrt_build`    ONNX models → engines for this GPU
- `encoders.tensorrt_package`  NVIDIA's package, and its log

Batching (the engine's scheduler is in `steno.engine`):

- `batching.request`         one pass of one piece of work
- `batching.prefill_queue`   which requests are prefilled next
- `batching.slot_allocator`  which request holds which KV cache slot; eviction
- `batching.slot_placement`  which class of slots a request needs; moves to a longer slot
- `batching.runner`          the step loop of one model
- `batching.cascade`         one model, or a draft model before the target model

Prompt, languages, output parsing, features and the removal of special tokens from untrusted text are in
`backends.qwen3_asr`.
"""
