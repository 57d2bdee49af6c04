"""A simulated plant that obeys physics: power, heat, coolant and work, with faults whose truth is known."""
