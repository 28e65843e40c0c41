"""Isaac Lab's train.py: registers wrapper and environment, trains, and goes on from a checkpoint."""

import math
import os

from lab_encoders import A2CBuilderWithEncoders
from lab_wrapper import ManagerEnv, RlGamesGpuEnv, RlGamesVecEnvWrapper
from rl_games.algos_torch import model_builder, torch_ext
from rl_games.common import env_configurations, vecenv
from rl_games.common.algo_observer import IsaacAlgoObserver
from rl_games.torch_runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from world import last_checkpoint, network, report, settings

CRITIC = {
    "minibatch_size": 16,
    "mini_epochs": 1,
    "learning_rate": 1e-3,
    "lr_schedule": "constant",
    "kl_threshold": 0.01,
    "clip_value": True,
    "normalize_input": True,
    "truncate_grads": True,
    "grad_norm": 1.0,
    "network": {"name": "actor_critic", "central_value": True, "mlp": network()["mlp"]},
}


def train(name, agent_cfg, env, resume=None, sigma=None):
    """One run of the script; its folder."""
    agent_cfg["params"]["config"] |= {
        "device": "cpu",
        "device_name": "cpu",
        "train_dir": os.path.abspath(os.path.join("logs", "rl_games")),
        "full_experiment_name": name,
        "num_actors": env.num_envs,
        "multi_gpu": False,
    }
    assert agent_cfg["params"]["config"]["device"] == "cpu"
    agent_cfg["params"]["env"] = {"clip_observations": 5.0, "clip_actions": 1.0}
    vecenv.register(
        "IsaacRlgWrapper",
        lambda config_name, num_actors, **kwargs: RlGamesGpuEnv(config_name, num_actors, **kwargs),
    )
    env_configurations.register("rlgpu", {"vecenv_type": "IsaacRlgWrapper", "env_creator": lambda **kwargs: env})
    runner = Runner(IsaacAlgoObserver())
    runner.load(agent_cfg)
    runner.reset()
    if resume is None:
        runner.run({"train": True, "play": False, "sigma": sigma})
    else:
        runner.run({"train": True, "play": False, "sigma": sigma, "checkpoint": resume})
    env.close()
    return os.path.join("logs", "rl_games", name)


def tags(folder):
    events = EventAccumulator(os.path.join(folder, "summaries"))
    events.Reload()
    assert events.Scalars("info/epochs")
    return sorted(tag for tag in events.Tags()["scalars"] if tag.split("/")[0] in ("Episode", "losses", "rewards"))


def main():
    plain = train("plain", settings(), RlGamesVecEnvWrapper(ManagerEnv(), "cpu", math.inf, 1.0))
    best = torch_ext.load_checkpoint(os.path.join(plain, "nn", "Point.pth"))
    assert best["epoch"] <= 3 and set(best) >= {"model", "epoch", "frame", "optimizer", "last_mean_rewards"}
    last = torch_ext.load_checkpoint(last_checkpoint(plain))
    assert last["epoch"] == 3 and last["frame"] == 3 * 8 * 4

    cfg = settings(max_epochs=4)
    again = train(
        "again",
        cfg,
        RlGamesVecEnvWrapper(ManagerEnv(), "cpu", math.inf, 1.0),
        resume=last_checkpoint(plain),
        sigma="0.5",
    )
    more = torch_ext.load_checkpoint(last_checkpoint(again))
    assert more["epoch"] == 4 and more["frame"] == 4 * 8 * 4
    # Filled with 0.5 before one epoch of four steps of Adam at 3e-4 to 1e-2.
    assert (more["model"]["a2c_network.sigma"] - 0.5).abs().max() < 4 * 1e-2 + 1e-6

    sides = {"obs": ["policy"], "states": ["critic"]}
    asymmetric = train(
        "asymmetric",
        settings(central_value_config=CRITIC),
        RlGamesVecEnvWrapper(ManagerEnv(is_finite_horizon=True), "cpu", 5.0, 1.0, sides),
    )
    critic = torch_ext.load_checkpoint(last_checkpoint(asymmetric))["assymetric_vf_nets"]

    model_builder.register_network("encoders", A2CBuilderWithEncoders)
    groups = {"obs": ["policy", "goal"], "states": []}
    cfg = settings(net=network(name="encoders", encoder={"units": 8}), normalize_input=False)
    grouped = train("grouped", cfg, RlGamesVecEnvWrapper(ManagerEnv(), "cpu", 5.0, 1.0, groups, concatenate=False))
    encoders = torch_ext.load_checkpoint(last_checkpoint(grouped))["model"]
    report(
        tags={name: tags(folder) for name, folder in {"plain": plain, "asymmetric": asymmetric}.items()},
        critic={name: list(value.shape) for name, value in critic.items()},
        encoders={name: list(value.shape) for name, value in encoders.items()},
        model={name: list(value.shape) for name, value in last["model"].items()},
    )


if __name__ == "__main__":
    main()
