"""Feedback: reading records from a team's own store, safely; shared by operator and trainer."""
