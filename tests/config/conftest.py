"""A valid configuration in the style of RL Games, numbers as text where YAML 1.1 reads them so."""

from typing import Any

import pytest
import yaml

EXAMPLE = """\
seed: 7
algo: {name: a2c_continuous}
model: {name: continuous_a2c_logstd}
network:
  name: actor_critic
  separate: False
  space:
    continuous:
      mu_activation: None
      sigma_activation: None
      mu_init: {name: default}
      sigma_init: {name: const_initializer, val: 0}
      fixed_sigma: True
  mlp:
    units: [64, 32]
    activation: elu
    initializer: {name: default}
config:
  name: Example
  env_name: rlgpu
  num_actors: 8
  reward_shaper: {scale_value: 0.1}
  normalize_input: True
  normalize_advantage: True
  gamma: 0.99
  tau: 0.95
  learning_rate: 3e-4
  lr_schedule: adaptive
  kl_threshold: 8e-3
  e_clip: 0.2
  clip_value: True
  critic_coef: 2
  entropy_coef: 0.0
  horizon_length: 16
  minibatch_size: 64
  mini_epochs: 4
  grad_norm: 1.0
"""


@pytest.fixture(scope="session")
def example_text() -> str:
    """The ``params`` of a run, as YAML."""
    return EXAMPLE


@pytest.fixture
def example() -> dict[str, Any]:
    """The ``params`` of a run, as plain data that a test may change."""
    return yaml.safe_load(EXAMPLE)
