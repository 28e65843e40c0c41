"""Programs as others wrote them for RL Games run unchanged with this library in its place, and find the same there.

Each client under ``clients/`` is a plain script that imports ``rl_games`` and ends with a line of facts that it found:
names, kinds, shapes, counters, events' tags. It runs

* with ``python -m manybody.compat client.py``: it must end well;
* with the real RL Games 1.6.5, which proves that the client is a realistic one: it must end well, too;
* and the facts of both must be equal.

The family of AMP agents ends with an AttributeError in every RL Games from 1.6.0 on, since they ask for ``seq_len``
(IsaacGymEnvs issue 231): ``run_clients.py`` gives RL Games that one name for them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CLIENTS = {
    "names": "every name in its module",
    "surface": "what derived agents read and call of A2CAgent",
    "amp_train": "IsaacGymEnvs' AMP: agent, player, model, network, dataset; trained, resumed, played",
    "ase": "a policy with skills beside the observation",
    "lab_train": "Isaac Lab's train.py: wrapper, resume, central value, groups with encoders",
    "lab_play": "Isaac Lab's play.py: LSTM step by step, export",
    "own_networks": "networks on BaseNetwork, continuous and discrete",
    "own_agents": "early stop, own buffer, discrete agent, ContinuousA2CBase, rollout rewritten",
    "discrete_spaces": "masks, several heads, several agents, pictures, arrays of numpy",
    "hrl": "two levels, the lower one a player",
    "observers": "wandb, populations, several observers",
    "sac": "SACAgent derived, replay buffer used alone",
    "foosball": "Runner derived, star import, agent on BaseAlgorithm",
    "time_chamber": "self-play, pool of players, normaliser derived",
}
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def facts(output):
    """What the client reported in its last line."""
    lines = [line for line in output.splitlines() if line.startswith("FACTS ")]
    assert len(lines) == 1, output[-2000:]
    return json.loads(lines[0].removeprefix("FACTS "))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """``outcome(library, client)``: exit code and output. All clients run with both libraries, side by side."""
    roots, runs = {}, {}
    for library in ("manybody", "rl_games"):
        roots[library] = tmp_path_factory.mktemp(library)
        words = [sys.executable, str(HERE / "run_clients.py"), library, str(roots[library])]
        words += [str(HERE / "clients" / f"{client}.py") for client in CLIENTS]
        runs[library] = subprocess.Popen(words, env=ENVIRONMENT)

    def read(library, client):
        assert runs[library].wait(timeout=300) == 0
        folder = roots[library] / client
        return int((folder / "code").read_text()), (folder / "output").read_text()

    yield read
    for process in runs.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize("client", CLIENTS)
def test_with_rl_games(client, outcome):
    code, output = outcome("rl_games", client)
    assert code == 0, output[-3000:]


@pytest.mark.parametrize("client", CLIENTS)
def test_with_manybody(client, outcome):
    code, output = outcome("manybody", client)
    assert code == 0, output[-3000:]


@pytest.mark.parametrize("client", CLIENTS)
def test_both_find_the_same(client, outcome):
    ours, theirs = (facts(outcome(library, client)[1]) for library in ("manybody", "rl_games"))
    assert ours == theirs


def test_the_command(tmp_path):
    """One client with the command itself, from its own folder."""
    words = [sys.executable, "-m", "manybody.compat", str(HERE / "clients/names.py")]
    done = subprocess.run(words, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
