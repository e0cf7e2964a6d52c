"""The parts of `benchmarks.gpu`.

- `scripted_backend`  the Qwen backend with scripted text
- `scripted_steno`    the command `steno` with that backend
- `uploads`           recordings at once: throughput, and the time to the first text
- `streams`           live streams: how many fit
- `stages`            where a server's time went
- `engine_parts`      where the engine's time goes, in a process of its own
- `budget`            the time that is left, and what was left out for it
"""
