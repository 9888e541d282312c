"""`retrainer experiment`: plan, simulate, replay and plot an experiment, without a cluster."""
