"""Parameters, session and exhibits: what the cells of a notebook call."""
