"""The parts of `benchmarks.peers`.

- `parts`             what is measured of each, and one run in a process of its own
- `original_weights`  the checkpoint in the layout that peers read
- `gguf_weights`      the same in GGUF, for ggml
- `steno_run`         steno's engine, one way of computing
- `c_binary`          a program like `antirez/qwen-asr`, by its output
- `ggml_run`          transcribe.cpp
- `qwen_asr_run`      Qwen's own package on transformers
- `vllm_run`          vLLM on a CPU

The modules that end in `_run` are programs. Those of peers run in the peers' environments, without steno.
"""
