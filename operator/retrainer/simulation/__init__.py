"""Thousands of experiments at once: what the operator's procedure does before anybody runs it on people.

`forecast.forecast` answers for one ABExperiment; `course.simulate` runs any configuration in any scenario;
`gate` prints the table of the project's own promises. Pure numpy, vectorised over runs, seeded.
"""
