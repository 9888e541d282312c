"""The four kinds of `retrainer.dev/v1alpha1`."""

from retrainer.api.v1alpha1.ab_experiment import AB_EXPERIMENT
from retrainer.api.v1alpha1.feedback_source import FEEDBACK_SOURCE
from retrainer.api.v1alpha1.kind import Kind
from retrainer.api.v1alpha1.retrain_policy import RETRAIN_POLICY
from retrainer.api.v1alpha1.training_run import TRAINING_RUN

KINDS: tuple[Kind, ...] = (FEEDBACK_SOURCE, RETRAIN_POLICY, TRAINING_RUN, AB_EXPERIMENT)
"""In the order of the loop."""
