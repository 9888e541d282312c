"""The triggers, one pure file each: reasons to retrain, with their evidence in a sentence."""
