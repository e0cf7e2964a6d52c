"""One live stream, sans-IO: audio, VAD probabilities and hypotheses in; events out. No clock, no socket, no model."""
