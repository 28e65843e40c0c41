"""Services of a training: checkpoints, guard, optimiser, metrics, logging, display."""
