"""Maintenance windows: silences of exactly what depends on the place that is worked on."""
