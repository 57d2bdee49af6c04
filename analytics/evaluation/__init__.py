"""How good the findings are: figures against a truth file, and a report with pictures."""
