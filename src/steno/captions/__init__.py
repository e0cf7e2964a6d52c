"""Subtitles: cues from timed words (`cues.py` has the rules), and the formats that they are written in."""
