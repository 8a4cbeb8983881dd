"""Trainings that make units linear: schedules, sweeps, baselines, and the record of what came of them."""
