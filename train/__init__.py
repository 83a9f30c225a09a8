"""Training: data to batches, the student, the teacher that chooses its synthetic samples, and the records of a run."""
