"""The page about a verdict: drawing, heat maps, and annotated videos."""
