"""From checkpoints to files that are deployed, each proven to say what the checkpoint says."""
