"""The page of what was used: a chart and a table of what the filters choose, and the choice as CSV."""
