"""A small reference model server: answers, records what it answered, and takes feedback."""
