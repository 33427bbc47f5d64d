"""From pictures to words: captions, filled-in words, answers, and where in a picture a word is."""
