"""The API types; this package imports nothing else of ours."""
