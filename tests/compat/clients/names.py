"""Every name that RL Games' clients import, from where they import it; run, it needs no GPU, ray, brax or cv2."""

import importlib
import sys

NAMES = {
    "rl_games.common.env_configurations": "register configurations get_env_info",
    "rl_games.common.vecenv": "register IVecEnv RayVecEnv create_vec_env vecenv_config",
    "rl_games.torch_runner": "Runner _restore _override_sigma",
    "rl_games.algos_torch.torch_ext": "load_checkpoint save_checkpoint mean_list policy_kl shape_whc_to_cwh "
    "AverageMeter normalization_with_masks apply_masks safe_filesystem_op safe_save numpy_to_torch_dtype_dict "
    "CoordConv2d LayerNorm2d IdentityRNN variance_scaling_initializer get_mean_std_with_masks get_mean_var_with_masks",
    "rl_games.common.datasets": "PPODataset DatasetList",
    "rl_games.common.player": "BasePlayer",
    "rl_games.algos_torch.central_value": "CentralValueTrain",
    "rl_games.algos_torch.a2c_continuous": "A2CAgent",
    "rl_games.algos_torch.a2c_discrete": "DiscreteA2CAgent",
    "rl_games.algos_torch.sac_agent": "SACAgent",
    "rl_games.common.a2c_common": "A2CBase ContinuousA2CBase DiscreteA2CBase swap_and_flatten01 print_statistics "
    "rescale_actions",
    "rl_games.algos_torch.models": "BaseModel BaseModelNetwork ModelA2C ModelA2CMultiDiscrete ModelA2CContinuous "
    "ModelA2CContinuousLogStd ModelCentralValue ModelSACContinuous",
    "rl_games.algos_torch.players": "PpoPlayerContinuous PpoPlayerDiscrete SACPlayer rescale_actions BasePlayer",
    "rl_games.algos_torch.running_mean_std": "RunningMeanStd RunningMeanStdObs",
    "rl_games.algos_torch.moving_mean_std": "GeneralizedMovingStats",
    "rl_games.common.algo_observer": "AlgoObserver DefaultAlgoObserver IsaacAlgoObserver",
    "rl_games.algos_torch.network_builder": "NetworkBuilder A2CBuilder A2CResnetBuilder SACBuilder DiagGaussianActor "
    "DoubleQCritic _create_initializer",
    "rl_games.algos_torch.model_builder": "register_model register_network ModelBuilder NetworkBuilder "
    "NETWORK_REGISTRY MODEL_REGISTRY",
    "rl_games.common.schedulers": "RLScheduler IdentityScheduler AdaptiveScheduler LinearScheduler",
    "rl_games.algos_torch.layers": "NoisyLinear NoisyFactorizedLinear",
    "rl_games.common.tr_helpers": "unsqueeze_obs DefaultRewardsShaper LinearValueProcessor dicts_to_dict_with_arrays "
    "flatten_first_two_dims",
    "rl_games.common.common_losses": "critic_loss default_critic_loss actor_loss smoothed_actor_loss",
    "rl_games.common.experience": "ExperienceBuffer VectorizedReplayBuffer",
    "rl_games.common.experiment": "Experiment",
    "rl_games.common.object_factory": "ObjectFactory",
    "rl_games.algos_torch.d2rl": "D2RLNet",
    "rl_games.algos_torch.sac_helper": "SquashedNormal TanhTransform",
    "rl_games.algos_torch.self_play_manager": "SelfPlayManager",
    "rl_games.common.diagnostics": "DefaultDiagnostics PpoDiagnostics",
    "rl_games.common.extensions.distributions": "CategoricalMasked CategoricalMaskedNaive",
    "rl_games.common.interval_summary_writer": "IntervalSummaryWriter",
    "rl_games.interfaces.base_algorithm": "BaseAlgorithm",
    "rl_games.common.ivecenv": "IVecEnv",
    "rl_games.common.divergence": "d_kl_discrete d_kl_discrete_list d_kl_normal",
    "rl_games.common.layers.recurrent": "RnnWithDones LSTMWithDones GRUWithDones",
    "rl_games.algos_torch.spatial_softmax": "SpatialSoftArgmax",
}
NESTED = {
    "rl_games.algos_torch.network_builder": "NetworkBuilder.BaseNetwork A2CBuilder.Network SACBuilder.Network",
    "rl_games.algos_torch.models": "ModelA2C.Network ModelA2CMultiDiscrete.Network ModelA2CContinuousLogStd.Network "
    "ModelA2CContinuous.Network ModelCentralValue.Network ModelSACContinuous.Network",
    "rl_games.torch_runner": "Runner.load_config Runner.load Runner.run_train Runner.run_play Runner.create_player",
}


def main():
    # First what every client imports first: the registries alone may not ask for an environment library.
    missing = []
    for path, names in NAMES.items():
        try:
            module = importlib.import_module(path)
        except ImportError as error:
            missing.append(f"{path}: {error}")
            continue
        missing += [f"{path}.{name}" for name in names.split() if not hasattr(module, name)]
    for path, names in NESTED.items():
        for name in names.split():
            outer, inner = name.split(".")
            if not hasattr(getattr(sys.modules[path], outer), inner):
                missing.append(f"{path}.{name}")
    import rl_games.algos_torch
    import rl_games.common.layers
    from rl_games.algos_torch import a2c_continuous, network_builder, players, torch_ext
    from rl_games.common import a2c_common, datasets, schedulers, vecenv

    assert rl_games.algos_torch.torch_ext is torch_ext and rl_games.common.vecenv is vecenv
    assert a2c_continuous.a2c_common is a2c_common and players.torch_ext is torch_ext
    assert network_builder.torch_ext is torch_ext and datasets and schedulers
    assert not missing, "\n".join(["not there:", *missing])
    from world import report

    heavy = sorted({"ray", "brax", "envpool", "cv2", "jax"} & set(sys.modules))
    report(names=sum(len(names.split()) for names in NAMES.values()), heavy=heavy)


if __name__ == "__main__":
    main()
