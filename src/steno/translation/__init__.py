"""Lines of text in another language, through any OpenAI-compatible LLM. Knows nothing of cues, times or formats."""
