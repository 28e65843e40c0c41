"""Agents and players of this library and of RL Games 1.6.5 for every kind of model, from the same settings."""

import contextlib
import copy
import io
from typing import Any

import torch
from rl_games_agents import RlGamesEnv, create, rl_games_params
from toy_family import FamilyEnv, family_params
from toy_sac import sac_params

N, STEPS = 50, 20
"""1,000 observations: ``N`` rows for ``STEPS`` steps, through which recurrent states are carried."""
RNN = {"layers": 2, "before_mlp": True, "layer_norm": True, "concat_output": True}
RESNET = {"name": "resnet_actor_critic"}


KINDS: dict[str, dict[str, Any]] = {
    "continuous": {"action": "box"},
    "continuous, separate": {"action": "box", "network_keys": {"separate": True}},
    "discrete": {"action": "discrete"},
    "multi-discrete": {"action": "tuple"},
    "lstm": {"action": "box", "rnn": "lstm"},
    "lstm, separate": {"action": "discrete", "rnn": "lstm", "network_keys": {"separate": True}},
    "gru": {"action": "box", "rnn": "gru"},
    "central value": {"action": "box", "central": "mlp"},
    "central value, lstm": {"action": "discrete", "rnn": "gru", "central": "lstm"},
    "cnn": {"action": "box", "observation": "image"},
    "cnn and lstm": {"action": "tuple", "observation": "image", "rnn": "lstm"},
    "resnet": {"action": "discrete", "observation": "image", "network_keys": RESNET},
    "resnet, lstm": {"action": "box", "observation": "image", "rnn": "lstm", "network_keys": RESNET},
    "sac": {"action": "box"},
}


class _Stateless:
    """Environments of RL Games' protocol without a state; the tests call no other method."""

    def get_env_state(self) -> None:
        return None

    def set_env_state(self, state: Any) -> None:
        assert state is None


class Kind:
    """One kind of model: its settings, environments, observations, agents and players."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys = {key: value for key, value in KINDS[name].items() if key in ("action", "observation")}
        self.central = "central" in KINDS[name]
        if name == "sac":
            config = {"name": "family", "env_name": "family", "num_actors": 4, "num_warmup_steps": 1}
            self.params = sac_params(**config)
        else:
            self.params = family_params(**KINDS[name], normalize_input=True, normalize_value=True)
            if self.keys["action"] == "box":
                self.params["config"]["bounds_loss_coef"] = 0.0
                self.params["config"]["clip_actions"] = name == "continuous"
            if name in ("gru", "lstm, separate"):
                self.params["network"]["rnn"] |= RNN
            if "resnet" in name:
                self.params["network"]["cnn"] = {"conv_depths": [4, 5]}

    def env(self, num_envs: int = 4) -> FamilyEnv:
        return FamilyEnv(**self.keys, num_envs=num_envs, states=self.central)

    def observations(self, seed: int = 7) -> list[torch.Tensor]:
        """Return ``STEPS`` observations (N, *shape)."""
        draw = torch.Generator().manual_seed(seed)
        if self.keys.get("observation") == "image":
            level = torch.randint(0, 200, (STEPS, N, 1, 1, 2), dtype=torch.uint8, generator=draw)
            return list(level + torch.randint(0, 56, (STEPS, N, 8, 8, 2), dtype=torch.uint8, generator=draw))
        return list(2.0 * torch.randn(STEPS, N, 3, generator=draw))

    # --- RL Games --------------------------------------------------------------------------------------------

    def _reference_params(self, folder: Any) -> dict[str, Any]:
        env_info = self.env().get_env_info()
        return rl_games_params(self.params, RlGamesEnv(self.env()), folder, env_info=env_info, vec_env=_Stateless())

    def reference_agent(self, folder: Any) -> Any:
        """Create RL Games' agent with changed weights, statistics and moments."""
        from rl_games.algos_torch.a2c_continuous import A2CAgent
        from rl_games.algos_torch.a2c_discrete import DiscreteA2CAgent
        from rl_games.algos_torch.sac_agent import SACAgent

        algorithm = {"a2c_continuous": A2CAgent, "a2c_discrete": DiscreteA2CAgent, "sac": SACAgent}
        params = self._reference_params(folder)
        agent = create(algorithm[params["algo"]["name"]], params)
        disturb(agent.model)
        if self.central:
            disturb(agent.central_value_net)
        for optimizer in optimizers(agent).values():
            learn(optimizer)
        agent.epoch_num, agent.frame = 12, 3456
        agent.vec_env = _Stateless()
        return agent

    def save_reference(self, agent: Any, path: Any) -> str:
        """Save RL Games' agent to ``path``, which ends in .pth, and return the path."""
        with contextlib.redirect_stdout(io.StringIO()):
            agent.save(str(path).removesuffix(".pth"))
        return str(path)

    def reference_player(self, file: str) -> Any:
        from rl_games.algos_torch.players import PpoPlayerContinuous, PpoPlayerDiscrete, SACPlayer

        players = {"a2c_continuous": PpoPlayerContinuous, "a2c_discrete": PpoPlayerDiscrete, "sac": SACPlayer}
        params = self._reference_params("")
        with contextlib.redirect_stdout(io.StringIO()):
            player = players[params["algo"]["name"]](params)
            player.restore(file)
        player.has_batch_dimension, player.batch_size = True, N
        player.reset()
        return player

    # --- manybody --------------------------------------------------------------------------------------------

    def agent(self, **parts: Any) -> Any:
        from manybody.algos.a2c import A2CAgent, DiscreteA2CAgent
        from manybody.algos.sac import SACAgent
        from manybody.config import parse_params

        algorithm = {"a2c_continuous": A2CAgent, "a2c_discrete": DiscreteA2CAgent, "sac": SACAgent}
        params = parse_params(copy.deepcopy(self.params))
        torch.manual_seed(1)
        return algorithm[params.algo.name]("run", params, vec_env=self.env(), **parts)

    def player(self, file: str) -> Any:
        from manybody.algos.a2c import PpoPlayerContinuous, PpoPlayerDiscrete
        from manybody.algos.sac import SACPlayer
        from manybody.config import parse_params

        players = {"a2c_continuous": PpoPlayerContinuous, "a2c_discrete": PpoPlayerDiscrete, "sac": SACPlayer}
        params = parse_params(copy.deepcopy(self.params))
        player = players[params.algo.name](params, vec_env=self.env(N))
        player.restore(file)
        return player

    def actions(self, player: Any, ours: bool) -> list[torch.Tensor]:
        """Return deterministic actions (STEPS, N, ...), and the log-probabilities of discrete ones."""
        logits = []

        def keep(_: Any, __: Any, out: dict[str, Any]) -> None:
            if "logits" in out:
                found = out["logits"]
                heads = found if isinstance(found, list) else found.split(self.env().sizes, dim=-1)
                logits.append(torch.cat([head.log_softmax(dim=-1) for head in heads], dim=-1))

        player.model.register_forward_hook(keep)
        chosen = []
        with torch.no_grad():
            for obs in self.observations():
                chosen.append(player.get_action({"obs": obs} if ours else obs, is_deterministic=True))
        return [torch.stack(x) for x in (chosen, logits) if x]


def disturb(model: torch.nn.Module, seed: int = 5) -> None:
    """Change the weights and statistics."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            noise = torch.randn(value.shape, generator=draw).to(value.dtype)
            if name.endswith("running_var"):
                value.copy_(0.1 + 0.2 * noise.abs())
            elif "logits" in name and name.endswith("bias"):
                value.zero_()  # so that several choices occur
            elif name.endswith("count"):
                value.fill_(500.0)
            elif value.is_floating_point():
                value.add_(0.2 * noise)


def learn(optimizer: torch.optim.Optimizer, steps: int = 2) -> None:
    """Minimise a sum of squares for some steps, so that the optimiser has moments."""
    for _ in range(steps):
        for group in optimizer.param_groups:
            for index, parameter in enumerate(group["params"]):
                if parameter.requires_grad:
                    parameter.grad = (1.0 + index) * 0.01 * parameter.detach()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def optimizers(agent: Any) -> dict[str, Any]:
    """Return the optimisers of an agent of either library by their checkpoint keys."""
    names = ("optimizer", "actor_optimizer", "critic_optimizer", "log_alpha_optimizer")
    found = {name: getattr(agent, name) for name in names if hasattr(agent, name)}
    central = getattr(agent, "central_value_net", None) or getattr(agent, "central_value", None)
    if hasattr(central, "optimizer"):
        found["assymetric_vf_optimizer"] = central.optimizer
    return found


def moments(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Return step, first and second moment of each parameter."""
    entries = [optimizer.state[x] for group in optimizer.param_groups for x in group["params"]]
    return [entry[key].double().cpu() for entry in entries for key in ("step", "exp_avg", "exp_avg_sq") if key in entry]
