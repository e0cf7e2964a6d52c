"""The dataset `chat-sft`: for each chat message what was said and written before it."""
