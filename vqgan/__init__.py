"""First stage: images to codes of a codebook and back (VQGAN, Esser et al. 2021)."""
