"""How the tiny checkpoints were made. `make.py` is the way in; `../README.md` says more.

grammar.py      what is said, and how it is written
voices.py       flite and espeak-ng: a text → samples, and when each word is spoken
corpus.py       many sentences, spoken once, kept on disk
clips.py        sentences → what a microphone would hear: pauses, noise, telephones, cut off in mid-word
checkpoint.py   an untrained model, its tokenizer and processor
training.py     the loop
aligning.py     what the aligner is taught, one thing after the other
evaluation.py   what was learned
"""
