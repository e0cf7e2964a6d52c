"""HTTP routes: each validates, calls a pipeline, and words the answer."""
