"""``params`` of a SAC run on the toy environment."""

from typing import Any


def sac_params(network: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    """Return RL Games' settings for SAC on eight toy environments; ``config`` overrides keys of that section."""
    return {
        "seed": 0,
        "torch_threads": 1,
        "algo": {"name": "sac"},
        "model": {"name": "soft_actor_critic"},
        "network": {
            "name": "soft_actor_critic",
            "separate": True,
            "space": {"continuous": None},
            "mlp": {"units": [16, 8], "activation": "relu", "initializer": {"name": "default"}},
            "log_std_bounds": [-5, 2],
            **(network or {}),
        },
        "config": {
            "name": "Toy",
            "env_name": "toy",
            "num_actors": 8,
            "device": "cpu",
            "reward_shaper": {"scale_value": 1.0},
            "normalize_input": True,
            "gamma": 0.9,
            "init_alpha": 0.5,
            "alpha_lr": "5e-3",
            "actor_lr": "1e-3",
            "critic_lr": "2e-3",
            "critic_tau": 0.01,
            "batch_size": 32,
            "learnable_temperature": True,
            "replay_buffer_size": 400,
            "num_steps_per_episode": 4,
            "num_warmup_steps": 2,
            "print_stats": False,
            **config,
        },
    }
