"""Hostile inputs: made from seeds, read by every parser of the project, judged alike.

`mutation.py` spoils bytes and JSON; `pictures.py`, `archives.py`, `weights.py` and `texts.py` make
inputs; `kinds` says which parsers read which; `guard.py` judges what came of it; `soak.py` runs
as many as wanted and goes on where it was stopped; `fuzz.py` has atheris change them; `coverage.py`
says how much of the parsers they reach. `kills` is of work that is killed and gone on with.
`corpus/` has inputs that once failed.
"""
