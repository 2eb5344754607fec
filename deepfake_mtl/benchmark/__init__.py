"""Many trainings and tests as one plan: every configuration, every fold, several seeds."""
