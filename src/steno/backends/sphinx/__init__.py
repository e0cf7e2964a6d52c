"""The embedded recogniser: PocketSphinx with the US English model that its wheel brings, in child processes.

    backend.py     SphinxBackend: the protocol, live utterances, retries
      pool.py        a bounded pool of child processes: started on demand, reused, recycled
        process.py     one child process: start, call, kill, reap
          child_protocol.py    messages between parent and child
          sphinx_child.py      the child's main loop (`python -m steno.backends.sphinx.sphinx_child`)
            recogniser.py    samples → words
            aligner.py       samples and their text → word times
              spelling.py      a token of the text → the English words that are spoken for it
              pronounce.py     letters → phones, for words missing in the dictionary

From `sphinx_child.py` down only the standard library and pocketsphinx are imported (num2words where a text has
numbers), so that a child starts fast and stays small. This file imports nothing for the same reason.
"""
