"""The report of a model: one HTML file with its scores, its errors and why it made them."""
