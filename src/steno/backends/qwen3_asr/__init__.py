"""What the Qwen3-ASR family is, whichever engine runs it.

- `prompt`        token ids around the audio's, languages, cleaning of untrusted text
- `output`        tokens → language, text, confidence; text that leaked from the context
- `frontend`      samples → log-mel
- `log_mel`       the features of one clip or utterance, in windows of 8 s
- `work_limits`   which work it takes: languages, max audio, max tokens
"""
