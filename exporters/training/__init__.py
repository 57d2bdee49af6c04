"""Training jobs: what they tell of themselves."""
