"""One live stream, sans-IO: audio and hypotheses in, events out. No clock, no socket, no model."""
