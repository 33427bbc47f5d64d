"""Second stage's training: objectives, masks, batches, trainer."""
