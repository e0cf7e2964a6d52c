"""HTTP routes: each validates a request, calls a pipeline, and formats the response."""
