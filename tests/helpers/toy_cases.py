"""One small training run of every algorithm, network part and schedule: name, environment and ``params``."""

from typing import Any

from toy import ToyEnv, toy_params
from toy_amp import OrbitEnv, orbit_params
from toy_family import FamilyEnv, family_params
from toy_sac import sac_params


def rnd(mapping: dict[str, Any]) -> dict[str, Any]:
    small = {"units": [8], "activation": "relu"}
    mapping["network"] |= {
        "name": "rnd_curiosity",
        "rnd": {"features": 5, "target": small, "predictor": small},
    }
    mapping["algo"]["name"] = "rnd_discrete"
    return mapping


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "continuous": (ToyEnv, toy_params()),
    "continuous, moving advantage": (ToyEnv, toy_params(normalize_rms_advantage=True, use_diagnostics=True)),
    "continuous, linear schedule": (
        ToyEnv,
        toy_params(lr_schedule="linear", schedule_entropy=True, shuffle_minibatches=True),
    ),
    "discrete with masks": (FamilyEnv, family_params(use_action_masks=True)),
    "several choices": (
        lambda: FamilyEnv("tuple"),
        family_params("tuple", lr_schedule="adaptive", kl_threshold=0.01),
    ),
    "dictionary": (lambda: FamilyEnv("box", "dict"), family_params("box", "dict")),
    "central value": (FamilyEnv, family_params(central="mlp")),
    "lstm": (FamilyEnv, family_params(rnn="lstm")),
    "gru": (FamilyEnv, family_params(rnn="gru", central="gru")),
    "curiosity": (FamilyEnv, rnd(family_params())),
    "sac": (ToyEnv, sac_params(num_warmup_steps=1)),
    "amp": (
        lambda: OrbitEnv(8),
        orbit_params(8, mini_epochs=2, horizon_length=4, minibatch_size=16, amp_batch_size=8, amp_minibatch_size=16),
    ),
}
