"""Each public name works in a process that has not imported anything else of the library."""

import os
import subprocess
import sys

import pytest
from toy import toy_params

import manybody

LOAD = f"ModelBuilder().load({toy_params()!r})"
USES = {
    "A2CAgent": "assert A2CAgent.Config.model_fields",
    "A2CBuilder": "assert A2CBuilder().build",
    "AlgoObserver": "AlgoObserver().after_steps()",
    "DefaultAlgoObserver": "DefaultAlgoObserver().after_steps()",
    "DiscreteA2CAgent": "assert DiscreteA2CAgent.Config.model_fields",
    "EnvSpec": "import gymnasium; box = gymnasium.spaces.Box(-1, 1, (3,)); assert EnvSpec(box, box).num_agents == 1",
    "IsaacAlgoObserver": "IsaacAlgoObserver().after_steps()",
    "ModelBuilder": f"model = {LOAD}; assert callable(model.build)",
    "MujocoTask": "assert MujocoTask.Config",
    "NetworkBuilder": "NetworkBuilder().load({})",
    "PpoPlayerContinuous": "assert PpoPlayerContinuous.restore",
    "PpoPlayerDiscrete": "assert PpoPlayerDiscrete.restore",
    "Runner": f"Runner().load({{'params': {toy_params(env_name='Cartpole')!r}}})",
    "SACAgent": "assert SACAgent.Config.model_fields",
    "SACPlayer": "assert SACPlayer.restore",
    "Step": "assert Step._fields[0] == 'obs'",
    "VecEnv": "assert VecEnv.get_env_info",
    "compose": "assert compose(['task=Ant'])['task_name'] == 'Ant'",
    "build_runner": "runner = build_runner(); assert 'amp_continuous' in runner.algo_factory.schemas",
    "load_policy": "assert callable(load_policy)",
    "make": "env = make('Cartpole', num_envs=2); assert env.reset()['obs'].shape == (2, 4)",
    "register_env": "register_env('mine', print)",
    "register_model": "register_model('mine', print)",
    "register_network": f"register_network('mine', print); from manybody import ModelBuilder; {LOAD}",
    "register_task": "from manybody import MujocoTask; register_task('Mine', type('Mine', (MujocoTask,), {}))",
    "train": "assert callable(train)",
    "__version__": "assert __version__[0].isdigit()",
}
"""Each public name and its first use."""
ALONE = ("ModelBuilder", "register_model", "register_network")
"""Names that use a registry, each tested in its own process; the other names share one process per module."""

FORKS = """
import os, sys
import gymnasium, hydra, mujoco, numpy, omegaconf, torch, yaml  # import these once, which takes seconds
import manybody.config  # only schemas; it takes as long as the rest of manybody
ours = {name.split(".")[1] for name in sys.modules if name.startswith("manybody.")}
assert ours <= {"config", "registry"}, ours
torch.set_num_threads(1)
for name, code in eval(sys.stdin.read()).items():
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            exec(code, {})
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.waitpid(child, 0)
print("all")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="requires os.fork")
def test_each_public_name_works_alone():
    assert USES.keys() == set(manybody.__all__)
    uses = {}
    for name, code in USES.items():
        home = name if name in ALONE else manybody._MODULES.get(name, name)
        uses[home] = uses.get(home, "") + f"from manybody import {name}; {code}\n"
    uses |= {
        "manybody.model_builder": f"from manybody.model_builder import ModelBuilder; {LOAD}",
        "rl_games": "import manybody.compat.rl_games; manybody.compat.rl_games.install()\n"
        f"from rl_games.algos_torch.model_builder import ModelBuilder; {LOAD}\n"
        f"from rl_games.torch_runner import Runner; Runner().load({{'params': {toy_params()!r}}})",
    }
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        input=repr(uses),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert (done.stderr, done.stdout) == ("", "all\n")
