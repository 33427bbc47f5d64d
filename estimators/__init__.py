"""The judges of a picture, and in `metrics` what is measured of sets of them.

Every file beside this one is looked at for estimators, so that a new one needs no other edit.
"""
