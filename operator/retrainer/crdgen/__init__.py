"""Generates crds/*.yaml and docs/reference from the API models."""
