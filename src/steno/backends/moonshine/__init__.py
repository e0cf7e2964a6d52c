"""The embedded recogniser: Moonshine tiny (English) on ONNX Runtime, from the weights in moonshine-voice's wheel.

    backend.py       MoonshineBackend: threads, what a live utterance keeps, cancellation
      context.py       what live streams keep between two calls: drafts, and what was said before
      decoding.py      audio → tokens: greedy, with a draft that is verified in one pass
        model.py         the ONNX sessions: encoder, decoder, KV cache
      vocabulary.py    tokens → text
    files.py         which files MODEL_ID means, and whether they are whole
    installed.py     whether the wheel is there; imports nothing heavy

Only `model.py` imports onnxruntime. The moonshine-voice package itself is never imported: it would load PortAudio and
a second ONNX Runtime.
"""
