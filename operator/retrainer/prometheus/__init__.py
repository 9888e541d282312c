"""Counters in Prometheus: raw samples, and each window's exact increase computed from them."""
