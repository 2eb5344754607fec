"""Optimizers, schedules and precision, and what keeps a training sound."""
