"""Capacity: what is left, where something fits, what fails with a loss, and how long it all lasts."""
