"""Inference engines: their own metrics, brought to one form."""
