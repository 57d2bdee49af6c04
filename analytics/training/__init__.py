"""Work over months of history: parts, workers, saved results, and what is learned."""
