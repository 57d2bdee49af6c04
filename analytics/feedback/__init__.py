"""Feedback: operators mark incidents right, wrong or known; thresholds and confidence learn from it."""
