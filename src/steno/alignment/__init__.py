"""When each word was said: a guess that costs nothing, where no recogniser or aligner knows it."""
