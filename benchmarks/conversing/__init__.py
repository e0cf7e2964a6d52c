"""Parts of `benchmarks.speakers`."""
