"""Ways to train, one file each; the rest of the trainer does not know them apart."""
