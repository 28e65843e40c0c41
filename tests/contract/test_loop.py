"""The order of calls in the training loop, and the hooks."""

import pytest
import torch
from toy import ToyEnv

from manybody.algos.a2c import A2CAgent
from manybody.data.rollout import Field
from manybody.engine.observers import AlgoObserver


class Recording(A2CAgent):
    """Record the calls of the documented methods."""

    log: list[str]


def _recorded(name):
    def method(self, *arguments, **keywords):
        if not hasattr(self, "log"):
            self.log = []
        self.log.append(name)
        return getattr(super(Recording, self), name)(*arguments, **keywords)

    return method


for _name in (
    "env_reset",
    "update_epoch",
    "train_epoch",
    "play_steps",
    "env_step",
    "prepare_dataset",
    "train_actor_critic",
    "calc_gradients",
    "extra_batch",
    "extra_losses",
    "shape_rewards",
):
    setattr(Recording, _name, _recorded(_name))


def test_train_resets_once_then_updates_trains_and_logs_each_epoch(make_agent):
    class Observer(AlgoObserver):
        def after_print_stats(self, frame, epoch_num, total_time):
            agent.log.append("logged")

    agent = make_agent(agent_class=Recording, max_epochs=3)
    agent.algo_observer = Observer()
    agent.train()
    loop = [name for name in agent.log if name in ("env_reset", "update_epoch", "train_epoch", "logged")]
    assert loop == ["env_reset"] + 3 * ["update_epoch", "train_epoch", "logged"]


def test_train_epoch_plays_prepares_then_learns(make_agent):
    agent = make_agent(agent_class=Recording, mini_epochs=3)
    agent.start_training()
    agent.log.clear()
    agent.train_epoch()
    # 8 steps; one rollout of 64 samples in minibatches of 32, three times.
    rollout = ["play_steps"] + 8 * ["env_step"] + ["shape_rewards"]
    minibatch = ["train_actor_critic", "calc_gradients", "extra_losses"]
    assert agent.log == ["train_epoch", *rollout, "prepare_dataset", "extra_batch"] + 3 * 2 * minibatch


def test_train_returns_the_last_reward_and_the_epochs(make_agent):
    agent = make_agent(max_epochs=2)
    reward, epochs = agent.train()
    assert epochs == 2 and reward == pytest.approx(agent.game_rewards.mean.item())
    assert agent.frame == 2 * 64


def test_the_environment_receives_the_frame_counter(make_agent):
    class Curriculum(ToyEnv):
        frames = ()

        def set_train_info(self, frame, agent):
            self.frames = (*self.frames, frame)

    env = Curriculum()
    make_agent(env=env, max_epochs=3).train()
    assert env.frames == (0, 64, 128)


def test_train_actor_critic_returns_the_result_of_calc_gradients(make_agent):
    agent = make_agent()
    agent.start_training()
    agent.train_epoch()
    a_loss, c_loss, entropy, kl, last_lr, lr_mul, mu, sigma, b_loss = agent.train_result[:9]
    assert all(x.shape == () for x in (a_loss, c_loss, entropy, kl, last_lr, b_loss))
    assert lr_mul == 1.0 and mu.shape == sigma.shape == (32, 2)


# --- hooks -----------------------------------------------------------------------------------------------------------


class Extras(ToyEnv):
    """Report a height per row in ``extras``: ten times the row's index."""

    def step(self, actions):
        return super().step(actions)._replace(extras={"height": 10.0 * self.rows.unsqueeze(1).float()})


def test_rollout_fields_store_extras_of_the_environment(make_agent):
    class Agent(A2CAgent):
        def rollout_fields(self):
            return {"height": Field((1,), torch.float32)}

    agent = make_agent(env=Extras(), agent_class=Agent)
    agent.start_training()
    with torch.no_grad():
        batch = agent.play_steps()
    assert agent.experience_buffer.tensor_dict["height"].shape == (8, 8, 1)
    # Env-major: eight steps of environment 0, then of environment 1, ...
    assert batch["height"].flatten().tolist() == [10.0 * n for n in range(8) for _ in range(8)]


def test_stored_extras_need_not_be_metrics(make_agent, capsys):
    class Wide(ToyEnv):
        def step(self, actions):
            return super().step(actions)._replace(extras={"seen": torch.zeros(8, 3), "lost": torch.zeros(8, 3)})

    class Agent(A2CAgent):
        def rollout_fields(self):
            return {"seen": Field((3,), torch.float32)}

    agent = make_agent(env=Wide(), agent_class=Agent)
    agent.start_training()
    agent.train_epoch()
    stderr = capsys.readouterr().err
    assert "extras['lost']" in stderr and "extras['seen']" not in stderr


def test_shape_rewards_replaces_the_rewards(make_agent):
    class Agent(A2CAgent):
        def shape_rewards(self, rollout):
            assert rollout["rewards"].shape == (8, 8, 1)
            return torch.full_like(rollout["rewards"], 5.0)

    # With gamma 1e-9, each return equals the reward.
    agent = make_agent(agent_class=Agent, gamma=1e-9)
    agent.start_training()
    with torch.no_grad():
        torch.testing.assert_close(agent.play_steps()["returns"], torch.full((64, 1), 5.0))


def test_extra_batch_reaches_every_minibatch_and_extra_losses_the_gradient(make_agent):
    class Agent(A2CAgent):
        def extra_batch(self, rollout):
            return {"target": torch.full_like(rollout["mus"], 0.5)}

        def extra_losses(self, minibatch, losses):
            mu = self.model.a2c_network({"obs": self.model.norm_obs(minibatch["obs"])}).mu
            imitation = (mu - minibatch["target"]).square().mean()
            return {**losses, "loss": losses["loss"] + 100.0 * imitation, "imitation": imitation}

    agent = make_agent(agent_class=Agent, mini_epochs=50, lr_schedule="constant", learning_rate=1e-2)
    agent.start_training()
    agent.update_epoch()
    metrics = agent.train_epoch()
    assert 0.0 < metrics.scalars["losses/imitation"].item() < 1.0  # logged by name, averaged over the epoch
    agent.model.eval()
    mus = agent.get_action_values(agent.obs)["mus"]
    assert (mus - 0.5).abs().mean() < 0.1


NAMES = ("{x}", "{mini_epoch}", "a{", "%s", "[bold]", ":smile:", "guardian/{}")


def test_names_of_losses_are_logged_literally(make_agent, tmp_path, capsys):
    class Agent(A2CAgent):
        def extra_losses(self, minibatch, losses):
            return {**losses, **{name: losses["a_loss"].detach() * 0 + 1.0 for name in NAMES}}

    agent = make_agent(agent_class=Agent, mini_epochs=2, max_epochs=1, use_diagnostics=True)
    written = {}
    agent.run.writer.add_scalar = lambda tag, value, step: written.update({tag: value})
    agent.train()
    expected = [name if "/" in name else f"losses/{name}" for name in NAMES]
    assert {tag: written.get(tag) for tag in expected} == dict.fromkeys(expected, 1.0)
    clipped = sorted(tag for tag in written if "clip_frac" in tag)
    assert clipped == ["diagnostics/clip_frac/0", "diagnostics/clip_frac/1"]


def test_an_auxiliary_loss_of_the_network_is_added_and_logged(make_agent):
    agent, plain = make_agent(mini_epochs=1), make_agent(mini_epochs=1)
    network = agent.model.a2c_network
    network.get_aux_loss = lambda: {"small_weights": 10.0 * network.mu.weight.square().sum()}
    for each in (agent, plain):
        torch.manual_seed(0)
        each.start_training()
        metrics = each.train_epoch()
        if each is agent:
            assert metrics.scalars["losses/small_weights"].item() > 0.0
    assert network.mu.weight.norm() < plain.model.a2c_network.mu.weight.norm()


def test_each_observer_hook_is_called_once_at_its_place(make_agent):
    calls = []

    class Observer(AlgoObserver):
        def __getattribute__(self, name):
            if name in (
                "after_steps",
                "after_print_stats",
                "process_infos",
                "after_init",
                "after_clear_stats",
            ):
                calls.append(name)
            return super().__getattribute__(name)

    agent = make_agent(max_epochs=2)
    agent.algo_observer = Observer()
    agent.train()
    agent.clear_stats()
    epoch = 8 * ["process_infos"] + ["after_steps", "after_print_stats"]
    assert calls == 2 * epoch + ["after_clear_stats"]
