"""Aligners: when each word of a known text is spoken.

    base.py      the protocol, its input and output
    registry.py  which aligners exist and can run here, and which one `ALIGNER` selects
    qwen.py      Qwen3-ForcedAligner, in a thread of its own
    sphinx.py    PocketSphinx's aligner (US English), in child processes

An aligner is independent of the recogniser: any recogniser's text may be timed by any aligner of its language.
"""
