"""Benchmarks. Each takes `--quick` and `--json FILE`; see `benchmarks/README.md`."""
