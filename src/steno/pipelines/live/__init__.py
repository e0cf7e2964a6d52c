"""One live stream, from its bytes to its events."""
