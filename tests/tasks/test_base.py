import pytest
import torch

from manybody.tasks import TASKS as TASK_CLASSES
from manybody.tasks import make

TASKS = ["Cartpole", "Ant", "Humanoid", "HumanoidAMP"]


@pytest.fixture(params=TASKS)
def name(request):
    return request.param


def actions_of(task, seed, scale=1.5):
    return scale * torch.randn(task.num_envs, task.num_actions, generator=torch.Generator().manual_seed(seed))


def run(task, seeds):
    return [task.step(actions_of(task, seed)) for seed in seeds]


def assert_same_steps(first, second):
    for a, b in zip(first, second, strict=True):
        for x, y in zip(
            (a.obs["obs"], a.reward, a.terminated, a.truncated, a.final_obs["obs"]),
            (b.obs["obs"], b.reward, b.terminated, b.truncated, b.final_obs["obs"]),
            strict=True,
        ):
            assert torch.equal(x, y)


def test_shapes_and_spaces(name):
    task = make(name, num_envs=5)
    sizes = {"Cartpole": (4, 1), "Ant": (60, 8), "Humanoid": (108, 21), "HumanoidAMP": (105, 28)}[name]
    assert (task.num_observations, task.num_actions) == sizes
    assert task.spec.observation_space.shape == sizes[:1]
    assert task.spec.action_space.shape == sizes[1:]
    assert task.spec.action_space.high.tolist() == [1.0] * sizes[1]
    assert task.reset()["obs"].shape == (5, sizes[0])
    step = task.step(torch.zeros(5, sizes[1]))
    assert step.obs["obs"].shape == step.final_obs["obs"].shape == (5, sizes[0])
    assert step.obs["obs"].dtype == step.reward.dtype == torch.float32
    assert step.reward.shape == (5,)
    assert step.terminated.dtype == step.truncated.dtype == torch.bool


def test_same_seed_same_episodes(name):
    first, second, other = (
        make(name, num_envs=4, seed=3),
        make(name, num_envs=4, seed=3),
        make(name, num_envs=4, seed=4),
    )
    assert torch.equal(first.reset()["obs"], second.reset()["obs"])
    assert not torch.equal(first.obs_buf, other.reset()["obs"])
    assert_same_steps(run(first, range(40)), run(second, range(40)))


def test_every_environment_starts_differently(name):
    obs = make(name, num_envs=6).reset()["obs"]
    assert len({tuple(row) for row in obs.tolist()}) == 6


def test_resumes_bit_for_bit(name):
    config = {"env": {"episodeLength": 25}}  # so that resets happen on both sides of the save
    whole = make(name, num_envs=4, seed=1, cfg=config)
    whole.reset()
    run(whole, range(40))
    saved = whole.get_env_state()
    rest = run(whole, range(40, 80))
    resumed = make(name, num_envs=4, seed=99, cfg=config)
    resumed.set_env_state(saved)
    assert_same_steps(run(resumed, range(40, 80)), rest)
    assert sum(int(step.done.sum()) for step in rest) >= 4


def test_saved_state_survives_a_safe_load(name, tmp_path):
    task = make(name, num_envs=3)
    run(task, range(5))
    torch.save(task.get_env_state(), tmp_path / "state.pth")
    loaded = torch.load(tmp_path / "state.pth", weights_only=True)
    rest = run(task, range(5, 10))
    task.set_env_state(loaded)
    assert_same_steps(run(task, range(5, 10)), rest)


def test_state_of_another_task_or_size_is_refused(name):
    task = make(name, num_envs=3)
    with pytest.raises(ValueError, match=r"progress_buf.*got shape \(4,\); expected shape \(3,\).*num_envs"):
        task.set_env_state(make(name, num_envs=4).get_env_state())
    other = "Ant" if name != "Ant" else "Humanoid"
    with pytest.raises(ValueError, match="Resume with the same task"):
        task.set_env_state(make(other, num_envs=3).get_env_state())


def test_truncation_after_exactly_episode_length_steps():
    task = make("Cartpole", num_envs=2, cfg={"env": {"episodeLength": 7}})
    task.reset()
    for episode in range(2):
        for count in range(1, 8):
            step = task.step(torch.zeros(2, 1))
            assert step.truncated.tolist() == [count == 7] * 2, (episode, count)
            assert not step.terminated.any()
    assert task.progress_buf.tolist() == [0, 0]


def test_default_episode_lengths():
    lengths = {name: make(name, num_envs=1).max_episode_length for name in TASKS}
    assert lengths == {"Cartpole": 500, "Ant": 1000, "Humanoid": 1000, "HumanoidAMP": 300}


def test_a_fall_in_the_last_step_is_a_termination():
    task = make("Cartpole", num_envs=2, cfg={"env": {"episodeLength": 1}})
    task.sim.reset(torch.tensor([True, False]), torch.full((2, 2), 1.57), torch.full((2, 2), 3.0))
    step = task.step(torch.zeros(2, 1))
    assert step.terminated.tolist() == [True, False]
    assert step.truncated.tolist() == [False, True]


def test_final_obs_is_what_the_observation_would_have_been(name):
    # The same episodes with and without a limit: at the limit, final_obs is the observation that the other
    # one shows.
    free = make(name, num_envs=3, seed=2)
    limited = make(name, num_envs=3, seed=2, cfg={"env": {"episodeLength": 4}})
    for seed in range(4):
        shown, ended = free.step(actions_of(free, seed)), limited.step(actions_of(limited, seed))
    assert not shown.done.any() and ended.truncated.all()
    assert torch.equal(ended.final_obs["obs"], shown.obs["obs"])
    assert torch.equal(ended.reward, shown.reward)
    assert not torch.equal(ended.obs["obs"], shown.obs["obs"])


def test_obs_after_an_end_belongs_to_the_new_episode():
    task = make("Ant", num_envs=3, cfg={"env": {"episodeLength": 2}})
    task.step(torch.ones(3, 8))
    obs = task.step(torch.ones(3, 8)).obs["obs"]
    assert torch.allclose(obs[:, 0], torch.tensor(0.44))  # start height
    assert (obs[:, -8:] == 0).all()  # no last action yet
    assert (obs[:, 28:52] == 0).all()  # the ankles have felt nothing yet


def test_an_ending_environment_does_not_disturb_the_others():
    disturbed, calm = make("Ant", num_envs=3), make("Ant", num_envs=3)
    for task in (disturbed, calm):
        run(task, range(5))
    qpos = disturbed.sim.qpos.clone()
    qpos[1, 2] = 0.1  # one falls
    disturbed.sim.reset(torch.tensor([False, True, False]), qpos, disturbed.sim.qvel.clone())
    for seed in range(5, 15):
        a, b = disturbed.step(actions_of(disturbed, seed)), calm.step(actions_of(calm, seed))
        assert a.terminated.tolist() == [False, seed == 5, False]
        for index in (0, 2):
            assert torch.equal(a.obs["obs"][index], b.obs["obs"][index])
            assert a.reward[index] == b.reward[index]


def test_results_are_not_overwritten_by_the_next_step(name):
    task = make(name, num_envs=2)
    step = task.step(actions_of(task, 0))
    kept = [x.clone() for x in (step.obs["obs"], step.reward, step.final_obs["obs"])]
    task.step(actions_of(task, 1))
    for now, before in zip((step.obs["obs"], step.reward, step.final_obs["obs"]), kept, strict=True):
        assert torch.equal(now, before)


def test_actions_are_clipped(name):
    wild, tame = make(name, num_envs=2), make(name, num_envs=2)
    ones = torch.ones(2, wild.num_actions)
    assert_same_steps([wild.step(100.0 * ones)], [tame.step(ones)])
    assert_same_steps([wild.step(torch.full_like(ones, -torch.inf))], [tame.step(-ones)])


def test_nan_actions_count_as_zero(name):
    poisoned, idle = make(name, num_envs=2), make(name, num_envs=2)
    zeros = torch.zeros(2, poisoned.num_actions)
    assert_same_steps([poisoned.step(torch.full_like(zeros, torch.nan))], [idle.step(zeros)])


def test_the_callers_actions_stay_untouched():
    task = make("Ant", num_envs=2, cfg={"env": {"episodeLength": 1}})
    actions = torch.full((2, 8), 5.0)
    task.step(actions)
    assert (actions == 5.0).all()


def test_actions_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"actions: got shape \(2, 7\); expected \(2, 8\)"):
        make("Ant", num_envs=2).step(torch.zeros(2, 7))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e12])
def test_diverged_physics_ends_that_episode_alone(name, value):
    task, healthy = make(name, num_envs=3), make(name, num_envs=3)
    for each in (task, healthy):
        run(each, range(3))
    last = task.obs_buf[1].clone()
    qvel = task.sim.qvel.clone()
    qvel[1, 0] = value
    task.sim.reset(torch.tensor([False, True, False]), task.sim.qpos.clone(), qvel)
    step, reference = run(task, [3])[0], run(healthy, [3])[0]
    assert step.extras["unstable_envs"].item() == 1
    assert step.terminated.tolist() == [False, True, False]
    assert step.reward[1] == {"Cartpole": -2.0, "Ant": -2.0, "Humanoid": -1.0, "HumanoidAMP": 0.0}[name]
    assert torch.equal(step.final_obs["obs"][1], last)
    for tensor in (step.obs["obs"], step.final_obs["obs"], step.reward):
        assert torch.isfinite(tensor).all()
    for index in (0, 2):
        assert torch.equal(step.obs["obs"][index], reference.obs["obs"][index])
    again = run(task, [4])[0]
    assert again.extras["unstable_envs"].item() == 0
    assert torch.isfinite(again.obs["obs"]).all()


def test_observations_are_clipped():
    task = make("Cartpole", num_envs=1)
    task.sim.reset(torch.ones(1, dtype=torch.bool), torch.zeros(1, 2), torch.tensor([[0.0, 50.0]]))
    assert task.step(torch.zeros(1, 1)).final_obs["obs"][0, 3] == 5.0


def test_control_frequency_divider():
    # Two physics steps per action: the second task has lived twice as long after as many actions.
    one, two = make("Ant", num_envs=1), make("Ant", num_envs=1, cfg={"env": {"controlFrequencyInv": 2}})
    assert two.dt == pytest.approx(2 * one.dt)
    zeros = torch.zeros(1, 8)
    one.step(zeros)
    one.step(zeros)
    two.step(zeros)
    torch.testing.assert_close(one.sim.qpos, two.sim.qpos, atol=0, rtol=0)


def test_time_step_and_gravity_reach_the_model():
    model = make("Ant", num_envs=1, cfg={"sim": {"dt": 0.02, "substeps": 4, "gravity": [0, 0, -1.62]}}).sim.model
    assert model.opt.timestep == pytest.approx(0.005)
    assert model.opt.gravity.tolist() == [0.0, 0.0, -1.62]


def test_one_environment(name):
    task = make(name, num_envs=1)
    assert task.step(torch.zeros(1, task.num_actions)).reward.shape == (1,)


def test_true_objective_is_the_forward_speed():
    task = make("Ant", num_envs=2)
    step = task.step(torch.ones(2, 8))
    torch.testing.assert_close(step.extras["true_objective"], task.sim.qvel[:, 0])


def test_summary():
    # 1000 steps of 0.0166 s; 500 of Cartpole.
    assert TASK_CLASSES["Ant"].summary() == (60, 8, 4096, 1000, 16.6)
    assert TASK_CLASSES["Humanoid"].summary() == (108, 21, 4096, 1000, 16.6)
    assert TASK_CLASSES["HumanoidAMP"].summary() == (105, 28, 4096, 300, 9.96)
    assert TASK_CLASSES["Cartpole"].summary() == (4, 1, 512, 500, 8.3)


N, LENGTH = 400, 20


def ends(task, steps):
    """(N,) the step, from 1, in which each environment's next episode ends; one that falls counts as 0."""
    when = torch.zeros(N, dtype=torch.long)
    for count in range(1, steps + 1):
        done = task.step(torch.zeros(N, 1)).done
        when = torch.where(done & (when == 0), count, when)
    return when


def test_staggered_episodes_do_not_end_together():
    """A cart that nothing pushes stays on its track for longer than 20 steps: every episode is truncated."""
    task = make("Cartpole", num_envs=N, cfg={"env": {"episodeLength": LENGTH}})
    task.reset()
    shortened = task.stagger_episodes()
    assert task.progress_buf.eq(0).all()  # a task that counts its steps counts them from 0
    first = ends(task, LENGTH)
    assert torch.equal(first < LENGTH, shortened)
    share = torch.bincount(first, minlength=LENGTH + 1)[1:] / N
    assert share.min() > 0.0 and share.max() < 0.15  # 1/20 on average, drawn 400 times: within 0.05 +- 0.05
    again = ends(task, LENGTH)  # the second episode has its whole length, so it ends as many steps later
    assert torch.equal(again, first)


def test_all_episodes_end_together_without():
    for settings in ({}, {"staggerEpisodes": False}):
        task = make("Cartpole", num_envs=N, cfg={"env": {"episodeLength": LENGTH, **settings}})
        task.reset()
        if settings:
            assert task.stagger_episodes() is None
        assert ends(task, LENGTH).eq(LENGTH).all()  # a task alone, as in playing, and in training when switched off


def test_ages_are_drawn_from_the_seed_and_saved():
    def started(seed):
        task = make("Cartpole", num_envs=N, seed=seed, cfg={"env": {"episodeLength": LENGTH}})
        task.reset()
        task.stagger_episodes()
        return task

    one, same, other = started(3), started(3), started(4)
    assert torch.equal(one.shortened_by, same.shortened_by)
    assert not torch.equal(one.shortened_by, other.shortened_by)
    ends(one, 3)
    saved = one.get_env_state()
    rest = ends(one, LENGTH)
    other.set_env_state(saved)
    assert torch.equal(ends(other, LENGTH), rest)
    del saved["shortened_by"]  # as earlier versions saved it
    other.set_env_state(saved)
    assert other.shortened_by.eq(0).all()
    one.stagger_episodes()
    one.reset()
    assert one.shortened_by.eq(0).all()
