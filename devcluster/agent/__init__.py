"""The node agent: a kubelet and a scheduler that run containers as local processes."""
