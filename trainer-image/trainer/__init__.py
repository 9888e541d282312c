"""The trainer image: snapshot, training, evaluation, gates and artifact; runs anywhere, knows no Kubernetes."""
