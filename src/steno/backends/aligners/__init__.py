"""Aligners: when each word of a known text is spoken.

    base.py      the protocol, and what goes in and comes out
    registry.py  the aligners there are, which of them can run here, and which one `ALIGNER` names
    qwen.py      Qwen3-ForcedAligner, in a thread of its own
    sphinx.py    PocketSphinx's aligner (US English), in child processes

An aligner is independent of the recogniser: any recogniser's text may be timed by any aligner of its language.
"""
