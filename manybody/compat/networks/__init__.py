"""What ``rl_games.algos_torch.network_builder`` is made of: networks that read raw mappings and return tuples."""
