"""Qwen3-ASR on vLLM: in this process's own engine, or on running `vllm serve` processes.

Importing the package loads nothing. Its modules:

- `backend`           the `AsyncBackend`: work → token requests, tokens → text
- `factory`           options → backend; the registry's entry point
- `installed`         whether vLLM is installed
- `vllm_options`      what the settings ask for
- `processing`        prompt builder, output parser and features of one checkpoint
- `token_generator`   the seam: token ids and feature windows in, token ids out
- `utterances`        the cached state of live utterances

In process:

- `in_process`        vLLM's `AsyncLLM` behind the seam: start, sleep, restart after a crash
- `engine_args`       options → vLLM's `AsyncEngineArgs`
- `engine_loop`       the thread and event loop that vLLM's client runs in
- `process_group`     a vLLM plugin: the engine does not get the terminal's Ctrl-C, and ends with the server

On running servers:

- `remote_backend`      the backend that says which servers are up
- `remote_engine`       the servers behind the seam: failover
- `server_pool`         health, the least loaded server, pins of live utterances
- `vllm_server`         one server: its requests, and the windows that it has cached
- `inspection`          what a server serves: model, tokenizer, endpoints
- `http_connection`     bounded and timed HTTP to one server
- `generate_wire`       token ids and windows as vLLM's generate endpoint takes them
- `transcriptions_wire` the fallback: a WAV file in, text out
- `server_errors`       what may go wrong with one server

vLLM runs unmodified. Each 8 s window of features is an audio item of its own, so that its prefix cache and its encoder
cache find the windows that are complete; stable text is forced as the beginning of the answer.
"""
