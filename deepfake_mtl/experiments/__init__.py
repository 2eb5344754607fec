"""Many trainings and tests as one plan, and a report of what they found.

Known to users as a benchmark: ``deepfake-mtl benchmark`` runs a plan, ``deepfake-mtl report`` makes
tables and a page of it.
"""
