"""Translates lines of text through any OpenAI-compatible LLM. Independent of cues, times and formats."""
