"""Live streams: from audio bytes to events."""
