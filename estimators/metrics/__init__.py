"""Figures of sets of pictures: FID and its kin, and what they are made of."""
