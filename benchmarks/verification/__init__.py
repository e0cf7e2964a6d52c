"""The parts of `benchmarks.verify_real`.

- `material`  recordings, their reference texts, and their pieces
- `rates`     how far a text is from what was said
- `ours`      steno's recogniser and aligner, one call for many pieces
- `theirs`    transformers' `generate` on the same weights
- `memory`    what this process holds
- `checks`    what must be true, each a `Check`
- `aligning`  the same, of word times
- `outcome`   a `Check`, and a report of all of them
"""
