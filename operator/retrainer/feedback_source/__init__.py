"""FeedbackSource: reads its source at intervals and says what is in it."""
