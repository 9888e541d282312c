"""The simulation gate: the project's statistical promises as rows of one table, each simulated with a fixed seed.

`python -m retrainer.simulation.gate` prints the table, `--write FILE` keeps it in a document; `tests/statistics`
hold every row to its target and the document to the rows.
"""
