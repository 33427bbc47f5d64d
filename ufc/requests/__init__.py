"""From requests to what the pipeline is asked: the model, the checks, what a picture says."""
