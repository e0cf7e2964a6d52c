"""The embedded recogniser: Moonshine tiny (English) on ONNX Runtime, from the weights in moonshine-voice's wheel.

    backend.py       MoonshineBackend: threads, live utterances, cancellation
      stream_context.py  cache of live streams: drafts, and earlier utterances as context
      decoding.py      audio → tokens: greedy decoding, with speculative drafts
        model.py         the ONNX sessions: encoder, decoder, KV cache
      vocabulary.py    tokens → text
      sentence_end_probe.py   whether a live final ends a sentence, by the encoder's states and
        closing_punctuation.py  by the text's last mark
    files.py         resolves MODEL_ID to files, and checks them
    installed.py     whether the wheel is installed; imports nothing heavy

Only `model.py` imports onnxruntime. The moonshine-voice package itself is never imported: it would load PortAudio and
a second ONNX Runtime.
"""
