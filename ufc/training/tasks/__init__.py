"""A mixture of instructions as training data: what each sample of a step is asked beside images."""
