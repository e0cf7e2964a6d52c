"""steno: a real-time speech-to-text server around Qwen3-ASR."""

__version__ = "0.1.0"
