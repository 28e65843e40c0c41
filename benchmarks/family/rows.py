"""The training settings of each row of the table, in RL Games' keys, for both libraries."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

ELU = {"activation": "elu", "initializer": {"name": "default"}}


@dataclass(frozen=True)
class Variant:
    """One training setup.

    A run ends after ``max_frames``, or earlier when the mean return of the last games reaches ``stop``.
    """

    name: str
    params: Mapping[str, Any]
    best: float = 1.0
    """The result is divided by this return: the optimum if it is known."""
    stop: float | None = None
    peer: bool = True
    """Whether RL Games 1.6.5 can train this."""
    measure: str = ""
    """Attribute of the environment that is reported instead of the mean return: a cost."""
    mark: float | None = None
    """Threshold of the cost; the number of frames until it is reached is reported, too."""


def params(kind: str, env_name: str, units: list[int], network: Mapping[str, Any], **config: Any) -> dict[str, Any]:
    """Return the section ``params``.

    Args:
        kind: ``continuous``, ``discrete`` or ``multi_discrete``.
        env_name: the environment.
        units: hidden layers.
        network: additional keys of ``network``.
        config: keys of ``config`` that override the values below.
    """
    continuous = {
        "mu_activation": "None",
        "sigma_activation": "None",
        "mu_init": {"name": "default"},
        "sigma_init": {"name": "const_initializer", "val": 0},
        "fixed_sigma": True,
    }
    return {
        "algo": {"name": "a2c_continuous" if kind == "continuous" else "a2c_discrete"},
        "model": {"name": "continuous_a2c_logstd" if kind == "continuous" else f"{kind}_a2c"},
        "network": {
            "name": "actor_critic",
            "separate": False,
            "space": {kind: continuous if kind == "continuous" else {}},
            "mlp": {"units": units, **ELU},
            **network,
        },
        "config": {
            "name": env_name.replace("/", "_").replace(":", "_"),
            "env_name": env_name,
            "num_actors": 64,
            "reward_shaper": {"scale_value": 1.0},
            "normalize_input": False,
            "normalize_value": True,
            "value_bootstrap": True,
            "normalize_advantage": True,
            "gamma": 0.99,
            "tau": 0.95,
            "learning_rate": 1e-3,
            "lr_schedule": "constant",
            "e_clip": 0.2,
            "clip_value": True,
            "critic_coef": 1.0,
            "entropy_coef": 0.01,
            "truncate_grads": True,
            "grad_norm": 1.0,
            "horizon_length": 32,
            "minibatch_size": 512,
            "mini_epochs": 4,
            "score_to_win": 1e9,
            "save_best_after": 10**9,
            "print_stats": False,
            **config,
        },
    }


def cartpole(**network: Any) -> dict[str, Any]:
    """CartPole-v1 without velocities; ``network`` overrides keys of that section."""
    return params(
        "discrete",
        "CartPole-v1",
        [64],
        network,
        num_actors=32,
        horizon_length=64,
        seq_length=16,
        minibatch_size=512,
        learning_rate=3e-3,
        entropy_coef=0.0,
        normalize_input=True,
        max_frames=600_000,
        env_config={"mask_velocity": True},
    )


def market(heads: list[int]) -> dict[str, Any]:
    """Market with masks; a million choices."""
    return params(
        "discrete" if len(heads) == 1 else "multi_discrete",
        "Market",
        [32],
        {},
        horizon_length=16,
        minibatch_size=256,
        gamma=0.1,  # a choice does not affect later rewards
        tau=0.1,
        entropy_coef=0.0,
        use_action_masks=True,
        env_config={"heads": heads},
        max_frames=1_024_000 // len(heads) // 1024 * 1024,
    )


def central_value(units: list[int], **config: Any) -> dict[str, Any]:
    """Return the section ``central_value_config`` with additional keys."""
    return {
        "network": {"name": "actor_critic", "central_value": True, "mlp": {"units": units, **ELU}},
        "normalize_input": True,
        "lr_schedule": "constant",
        "clip_value": True,
        "e_clip": 0.2,
        "truncate_grads": True,
        "grad_norm": 1.0,
        **config,
    }


def tide(central: bool) -> dict[str, Any]:
    """Boats, with and without a critic that knows the price of fish."""
    learning = {"minibatch_size": 1024, "mini_epochs": 4, "learning_rate": 2e-3}
    critic = central_value([32], **learning)
    return params(
        "continuous",
        "Tide",
        [32],
        {},
        gamma=0.97,
        bounds_loss_coef=1e-4,
        entropy_coef=0.0,
        normalize_input=True,
        env_config={"price": 8.0},
        max_frames=200_704,
        **learning,
        **({"central_value_config": critic} if central else {}),
    )


def simple_spread(central: bool) -> dict[str, Any]:
    """Three agents with one policy cover three landmarks; if ``central``, a critic observes the whole state."""
    learning = {"minibatch_size": 1600, "mini_epochs": 8, "learning_rate": 7e-4}
    critic = central_value([128, 128], **learning)
    return params(
        "discrete",
        "pettingzoo:mpe2.simple_spread_v3",
        [128, 128],
        {},
        num_actors=64,
        horizon_length=25,
        normalize_input=True,
        max_frames=480_000,
        **{**learning, "minibatch_size": 3 * learning["minibatch_size"]},
        **({"central_value_config": critic} if central else {}),
    )


def deep_sea(curious: bool) -> dict[str, Any]:
    """DeepSea with twenty rows."""
    mapping = params(
        "discrete",
        "DeepSea",
        [64],
        {},
        num_actors=32,
        horizon_length=80,
        minibatch_size=640,
        env_config={"depth": 20},
        max_frames=256_000,
    )
    if curious:
        mapping["algo"]["name"], mapping["network"]["name"] = "rnd_discrete", "rnd_curiosity"
        mapping["config"]["rnd_config"] = {"gamma": 0.95}
    return mapping


def image(env_name: str, convs: list[list[int]], permute: bool, units: list[int], **config: Any) -> dict[str, Any]:
    """An image task; each convolution is [filters, kernel_size, strides], followed by hidden layers."""
    keys = ("filters", "kernel_size", "strides")
    cnn = {
        "type": "conv2d",
        "permute_input": permute,
        "activation": "relu",
        "initializer": {"name": "orthogonal_initializer", "gain": 1.41421},
        "convs": [{**dict(zip(keys, conv, strict=True)), "padding": 0} for conv in convs],
    }
    mlp = {
        "units": units,
        "activation": "relu",
        "initializer": {"name": "orthogonal_initializer", "gain": 1.41421},
    }
    return params("discrete", env_name, units, {"cnn": cnn, "mlp": mlp}, **config)


def mujoco(env_name: str, units: list[int], initializer: Mapping[str, Any], **config: Any) -> dict[str, Any]:
    """EnvPool's MuJoCo tasks with the settings of RL Games 1.6.5 (configs/mujoco/*_envpool.yaml, for -v4)."""
    return params(
        "continuous",
        f"envpool:{env_name}",
        units,
        {"mlp": {"units": units, "activation": "elu", "initializer": initializer}},
        env_config={"num_threads": 1},
        normalize_input=True,
        use_smooth_clamp=True,
        lr_schedule="adaptive",
        kl_threshold=0.008,
        entropy_coef=0.0,
        minibatch_size=2048,
        games_to_track=100,
        **config,
    )


HALF_CHEETAH = mujoco(
    "HalfCheetah-v5",
    [128, 64, 32],
    {"name": "variance_scaling_initializer", "scale": 2.0},
    learning_rate=5e-4,
    clip_value=False,
    horizon_length=256,
    mini_epochs=5,
    critic_coef=4,
    bounds_loss_coef=0.0,
    max_frames=10_000_000,
)
ANT = mujoco(
    "Ant-v5",
    [256, 128, 64],
    {"name": "default"},
    reward_shaper={"scale_value": 0.1},
    learning_rate=3e-4,
    horizon_length=64,
    mini_epochs=4,
    critic_coef=2,
    bound_loss_type="regularisation",
    bounds_loss_coef=0.0,
    max_frames=5_000_000,
)
BREAKOUT = image(
    "MinAtar/Breakout-v1",
    [[16, 3, 1]],
    True,
    [128],
    num_actors=64,
    horizon_length=64,
    minibatch_size=1024,
    mini_epochs=4,
    learning_rate=1e-3,
    lr_schedule="linear",
    max_frames=5_000_000,
)
PONG = image(
    "envpool:Pong-v5",
    [[32, 8, 4], [64, 4, 2], [64, 3, 1]],
    False,
    [512],
    num_actors=64,
    horizon_length=128,
    minibatch_size=2048,
    mini_epochs=3,
    learning_rate=8e-4,
    e_clip=0.1,
    reward_shaper={"min_val": -1, "max_val": 1},
    env_config={"reward_clip": True, "episodic_life": True},
    max_frames=10_000_000,
)

WHOLE = cartpole()
WHOLE["config"] |= {"env_config": {}, "max_frames": 1_000_000}
LSTM = cartpole(rnn={"name": "lstm", "units": 64, "layers": 1})

ROWS: Mapping[str, tuple[Variant, ...]] = {
    "cartpole": (Variant("CartPole-v1, discrete PPO", WHOLE, stop=475.0),),
    "memory": (
        Variant("CartPole-v1 without velocities, LSTM", LSTM, stop=400.0),
        Variant("CartPole-v1 without velocities, MLP", cartpole()),
    ),
    "masks": (
        Variant("Market, 8 goods, masked: share of the optimum", market([8]), best=8.0),
        Variant("Market, (3, 4, 6) goods, masked: share of the optimum", market([3, 4, 6]), best=8.0, peer=False),
    ),
    "breakout": (Variant("MinAtar Breakout, convolutions", BREAKOUT),),
    "pong": (Variant("Pong (EnvPool), convolutions", PONG, stop=20.0),),
    "halfcheetah": (Variant("HalfCheetah-v5 (EnvPool), PPO", HALF_CHEETAH),),
    "ant": (Variant("Ant-v5 (EnvPool), PPO", ANT),),
    "asymmetric": (
        Variant("Tide, central value: squared distance", tide(True), measure="cost", mark=0.05),
        Variant("Tide, no central value: squared distance", tide(False), measure="cost", mark=0.05),
    ),
    "team": (
        Variant("simple_spread_v3, total of 3 agents", simple_spread(False), best=1 / 3),
        Variant("simple_spread_v3, total of 3 agents, central value", simple_spread(True), best=1 / 3),
    ),
    "exploration": (
        Variant("DeepSea, depth 20, RND", deep_sea(True), stop=0.9, peer=False),
        Variant("DeepSea, depth 20, PPO", deep_sea(False), stop=0.9),
    ),
}
"""The variants of each row, by the name on the command line."""


def shortened(variant: Variant, frames: int) -> Variant:
    """Return the variant with another number of frames."""
    config = {**variant.params["config"], "max_frames": frames}
    return replace(variant, params={**variant.params, "config": config})
