"""Evidence that survives being looked at: anytime-valid tests on sufficient statistics, pure and without I/O."""
