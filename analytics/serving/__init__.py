"""The service: runs at a steady pace, exposes what was found, keeps its state."""
