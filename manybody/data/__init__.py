"""Storage of samples between collection and update: rollouts, minibatches, replay buffers."""
