"""The whole loop on real data, told in a terminal: `python -m demo`."""
