"""Observers of IsaacGymEnvs: several at once, one that must come before the event writer, one for populations."""

import os

import torch
from isaac import register
from rl_games.algos_torch import torch_ext
from rl_games.algos_torch.torch_ext import safe_filesystem_op, safe_save
from rl_games.common.algo_observer import AlgoObserver
from rl_games.torch_runner import Runner
from world import PointMass, report, settings


def flatten(infos, prefix=""):
    flat = {}
    for name, value in infos.items():
        flat |= flatten(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value}
    return flat


class RLGPUAlgoObserver(AlgoObserver):
    """Means of the last games' scores, and every scalar that the task sends, flattened."""

    def __init__(self):
        pass

    def after_init(self, algo):
        self.algo = algo
        self.mean_scores = torch_ext.AverageMeter(1, self.algo.games_to_track).to(self.algo.ppo_device)
        self.ep_infos, self.direct_info = [], {}
        self.writer = self.algo.writer
        self.cleared = 0

    def process_infos(self, infos, done_indices):
        assert isinstance(infos, dict), "RLGPUAlgoObserver expects dict info"
        if "episode" in infos:
            self.ep_infos.append(infos["episode"])
        self.direct_info = {
            name: value
            for name, value in flatten(infos).items()
            if isinstance(value, (float, int)) or (isinstance(value, torch.Tensor) and value.ndim == 0)
        }
        for index in done_indices:
            self.mean_scores.update(torch.tensor([float(index.item())], device=self.algo.device))

    def after_clear_stats(self):
        self.mean_scores.clear()
        self.cleared += 1

    def after_print_stats(self, frame, epoch_num, total_time):
        for name in self.ep_infos[0] if self.ep_infos else ():
            mean = torch.stack([info[name] for info in self.ep_infos]).mean()
            self.writer.add_scalar("Episode/" + name, mean, epoch_num)
        self.ep_infos.clear()
        for name, value in self.direct_info.items():
            self.writer.add_scalar(f"{name}/frame", value, frame)
        if self.mean_scores.current_size > 0:
            self.writer.add_scalar("scores/mean", self.mean_scores.get_mean(), frame)


class WandbAlgoObserver(AlgoObserver):
    """Has to start its run before there are event files, for it listens to their writer."""

    def before_init(self, base_name, config, experiment_name):
        self.base_name, self.experiment_name = base_name, experiment_name
        summaries = os.path.join(config["train_dir"], experiment_name, "summaries")
        assert not os.path.exists(summaries)
        self.settings = sorted(name for name in config if name in ("name", "learning_rate", "features", "network"))
        config_of_run = {"num_actors": config["num_actors"], "group": config.get("wandb_group", "")}
        assert config_of_run == {"num_actors": 4, "group": ""}


class PbtAlgoObserver(AlgoObserver):
    """Writes checkpoints for its population, and looks at how the others do."""

    def __init__(self, params):
        super().__init__()
        self.every, self.root, self.iterations = 32, params["workspace"], []

    def after_init(self, algo):
        self.algo = algo
        self.workspace = os.path.join(self.algo.train_dir, self.root)
        os.makedirs(self.workspace, exist_ok=True)
        assert self.algo.experiment_name == "Point" or self.algo.experiment_name.startswith("Point_pbt_01_")
        assert not hasattr(self.algo, "objective")

    def process_infos(self, infos, done_indices):
        self.scores = infos["scores"]
        self.done = done_indices

    def after_steps(self):
        iteration = self.algo.frame // self.every
        ready = bool(self.algo.game_rewards.current_size >= min(4, self.algo.games_to_track))
        self.iterations.append((iteration, ready))
        if not ready:
            return
        path = os.path.join(self.workspace, f"{iteration:06d}.pth")
        state = safe_filesystem_op(self.algo.get_full_state_weights)
        safe_filesystem_op(safe_save, state, path + "_temp")
        safe_filesystem_op(os.replace, path + "_temp", path)
        again = torch_ext.safe_load(path) if hasattr(torch_ext, "safe_load") else state
        assert set(again) >= {"model", "optimizer", "epoch", "frame", "last_mean_rewards"}
        objective = torch.as_tensor(float(self.algo.mean_rewards), device=self.algo.ppo_device)
        assert self.scores.to(self.algo.device).shape == (4,) and objective.ndim == 0

    def after_print_stats(self, frame, epoch_num, total_time):
        self.algo.writer.flush()
        if epoch_num == 3:
            self.algo.writer.close()


class MultiObserver(AlgoObserver):
    """Hands each call on to all of them."""

    def __init__(self, observers_):
        super().__init__()
        self.observers = observers_

    def _call_multi(self, method, *args_, **kwargs_):
        for observer in self.observers:
            getattr(observer, method)(*args_, **kwargs_)

    def before_init(self, base_name, config, experiment_name):
        self._call_multi("before_init", base_name, config, experiment_name)

    def after_init(self, algo):
        self._call_multi("after_init", algo)

    def process_infos(self, infos, done_indices):
        self._call_multi("process_infos", infos, done_indices)

    def after_steps(self):
        self._call_multi("after_steps")

    def after_clear_stats(self):
        for observer in self.observers:
            if hasattr(observer, "after_clear_stats"):
                observer.after_clear_stats()

    def after_print_stats(self, frame, epoch_num, total_time):
        self._call_multi("after_print_stats", frame, epoch_num, total_time)


class ScoringPoint(PointMass):
    """Sends scores, numbers in nested dictionaries, and sums of the episodes."""

    def step(self, actions):
        obs, reward, done, extras = super().step(actions)
        extras |= {"scores": reward, "true_objective": reward, "task": {"level": 2, "gap": {"mean": 0.5}}}
        return obs, reward, done, extras | {"episode": {"near": reward.mean()}}


def main():
    register(lambda **kwargs: ScoringPoint())
    isaac, wandb, pbt = (
        RLGPUAlgoObserver(),
        WandbAlgoObserver(),
        PbtAlgoObserver({"workspace": "pbt_workspace"}),
    )
    runner = Runner(MultiObserver([isaac, wandb, pbt]))
    runner.load(settings(train_dir="runs", full_experiment_name=None, population_based_training=True, pbt_idx=1))
    runner.run({"train": True, "play": False})
    pbt.algo.clear_stats()
    saved = sorted(os.listdir(os.path.join("runs", "pbt_workspace")))
    mean = torch_ext.AverageMeter(2, 4)
    mean.update(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    report(
        base_name=wandb.base_name,
        named=wandb.experiment_name.startswith("Point_pbt_01_") and wandb.experiment_name == pbt.algo.experiment_name,
        settings=wandb.settings,
        iterations=pbt.iterations,
        saved=saved,
        direct=sorted(isaac.direct_info),
        cleared=isaac.cleared,
        games=int(pbt.algo.game_rewards.current_size),
        means=[float(value) for value in mean.get_mean()],
        sizes=[len(mean), mean.max_size, float(mean.mean[0])],
    )


if __name__ == "__main__":
    main()
