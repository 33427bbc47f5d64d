"""What both stages share: images, checkpoints, data sets, the training loop."""
