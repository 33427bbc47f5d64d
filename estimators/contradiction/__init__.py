"""Does a caption contradict a prompt, and in what: trees of noun phrases, compared (TBCNN-pair).

Texts in, verdicts out (`verdicts.py`); whoever captions pictures passes their captions in.
"""
