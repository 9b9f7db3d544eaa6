"""Executed notebooks as one document, in HTML and PDF, through nbconvert."""
