"""ABExperiment: shifts traffic to a candidate only as far as evidence, written down first, allows."""
