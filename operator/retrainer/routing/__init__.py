"""Traffic providers: desired weights → objects to apply; observed objects → applied weights and health."""
