"""Ours against Qwen's own SDK, which answers from an environment of its own: it pins an older transformers."""
