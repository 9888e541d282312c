"""TrainingRun: what its two Jobs are, what became of them, and what follows."""
