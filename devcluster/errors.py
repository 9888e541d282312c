"""Errors that a person can act on: their text names the remedy."""


class DevclusterError(Exception):
    """Something in the surroundings keeps the cluster from running."""
