"""Whether a speaker who pauses has finished: by the recogniser or by the sound, by the words, and by how long the pause
is.

turn_judge            what judges a pause
  smart_turn          the sound: Smart Turn
    whisper_features  its input
  sentence_end        the words, in English
    spoken_words      text → words → numbers
  turn_probability    all of it in one probability
"""
