"""What `benchmarks.report` is made of."""
