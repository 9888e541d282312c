"""A real Kubernetes for tests and the demo: control plane, node agent and gateway as local processes."""
