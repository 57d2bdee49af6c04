"""Months of a whole fleet in minutes: samples of power and temperature with everything that fools
detectors."""
