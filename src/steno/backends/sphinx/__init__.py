"""The embedded recogniser: PocketSphinx with the US English model that its wheel brings, in child processes.

    backend.py     SphinxBackend: the protocol, what a live utterance keeps, retries
      pool.py        children on demand up to a bound, reused, recycled, reaped
        process.py     one child as its parent sees it: start, call, kill, reap
          protocol.py    what travels between the two
          worker.py      the child's main loop (`python -m steno.backends.sphinx.worker`)
            recogniser.py    samples → words
            aligner.py       samples and a text → when each of its words is spoken
              spelling.py      a token of the text → the English words that are said for it
              pronounce.py     letters → sounds, for words that the dictionary lacks

From `worker.py` down only the standard library and pocketsphinx are imported (num2words where a text has numbers), so
that a child starts fast and stays small. This file imports nothing for the same reason.
"""
