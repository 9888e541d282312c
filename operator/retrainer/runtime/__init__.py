"""Runs the controllers: kopf wiring, work queues, leader lease, metrics, health; the only package with kopf."""
