"""The univariate detector: how new is what one series does."""
