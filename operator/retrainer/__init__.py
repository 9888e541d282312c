"""Retrainer: retraining, gated promotion and honest experiments as Kubernetes objects."""
