"""Playing a run: its folder alone says which task, configuration and policy; the command line wins where it speaks."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from manybody.algos.model import override_sigma
from manybody.config import ConfigError, Params, Problem, parse_launch
from manybody.engine.accelerate import has_device, set_deterministic
from manybody.engine.checkpoint import load_checkpoint
from manybody.engine.console import say
from manybody.engine.play_guard import left_out_text
from manybody.engine.run_folder import RunFolder, RunFolderError
from manybody.launch.overrides import given, read, take_file
from manybody.launch.resolve import check, check_playable, configure, is_tree, load_run, root_of, settings_of
from manybody.launch.rl_games_yaml import compose_file
from manybody.launch.run_tree import register_tree
from manybody.launch.validate import first_checkpoint
from manybody.runner import build_runner

SIZES = ("num_envs", "task.env.numEnvs", "train.params.config.num_actors", "params.config.num_actors")
DEVICES = ("rl_device", "train.params.config.device", "params.config.device")


def play_run(path: str | None = None, words: Sequence[str] = (), file: str | None = None) -> Any:
    """Play the best policy of a run.

    Args:
        path: a run folder, a checkpoint file, or None: the newest run (of the ``task`` in ``words``).
        words: settings, as for training; ``games_num``, ``deterministic`` and ``train_dir`` for short.
        file: an RL Games file to take the configuration from.

    Returns:
        The :class:`~manybody.algos.player.PlayResult`.

    Raises:
        ConfigError, CheckpointError: what is wrong with the run or the words, and what to do.
    """
    return prepare_play(path, words, file)()


def prepare_play(path: str | None, words: Sequence[str], file: str | None = None) -> Callable[[], Any]:
    """Check everything about a :func:`play_run`; returns what does it."""
    if file and not path:
        path = first_checkpoint(settings_of(compose_file(file, read(words).words).cfg or {}) or {})
    folder, checkpoint = find_run(path, words)
    try:
        cfg, params = configured(folder.path, words, file)
    except ConfigError:
        if not folder.config_file.is_file() and not read(words).problems:
            load_checkpoint(checkpoint)  # a damaged file explains more than a run folder that is not there
        raise
    return partial(_play, folder, checkpoint, cfg, params, words)


def find_run(path: str | None, words: Sequence[str]) -> tuple[RunFolder, Path]:
    """The run folder and the checkpoint that ``path`` and ``words`` of :func:`play_run` mean.

    Raises:
        ConfigError: there are none.
    """
    wanted = given(words)
    long = [wanted.get(f"{prefix}params.config.train_dir") for prefix in ("", "train.")]
    train_dir = next(filter(None, [wanted.get("train_dir"), *long]), "runs")
    try:
        return RunFolder.resolve(path or None, train_dir, wanted.get("task"))
    except RunFolderError as error:
        raise ConfigError([*read(words).problems, Problem("checkpoint", str(error))]) from None


def load_player(folder: RunFolder, checkpoint: Path, words: Sequence[str] = ()) -> Any:
    """A player with the task, configuration and policy of a run, under ``words``.

    Raises:
        ConfigError, CheckpointError: what is wrong with the run or the words, and what to do.
    """
    cfg, params = configured(folder.path, words)
    return _player(checkpoint, cfg, params)


def configured(folder: Path, words: Sequence[str], file: str | None = None) -> tuple[dict[str, Any], Params]:
    """The checked configuration of a run under the words; without a record, what the words say alone."""
    wanted = given(words)
    recorded: dict[str, Any] | None = None
    if (folder / "config.yaml").is_file() or not (file or "task" in wanted):
        try:
            recorded = load_run(folder)
        except ConfigError as error:
            raise ConfigError([*read(words).problems, *error.problems]) from None
    composed = configure(read(words), file, folder if recorded is not None else None)
    cfg = composed.cfg
    if cfg is not None:
        if recorded is not None:
            composed.problems.extend(check_playable(recorded, composed, words, file))
        _fit(cfg, wanted)
    params = check(composed, training=False)
    assert cfg is not None
    return cfg, params


def _fit(cfg: dict[str, Any], wanted: Mapping[str, str]) -> None:
    """Where the command line does not say so: an environment for each game, and a device that is there."""
    config = settings_of(cfg)["config"]
    games = (config.get("player") or {}).get("games_num", 100)
    if not wanted.keys() & set(SIZES) and isinstance(games, int) and isinstance(config.get("num_actors"), int):
        config["num_actors"] = num_envs = max(1, min(config["num_actors"], games))
        if is_tree(cfg):
            cfg["task"]["env"]["numEnvs"] = num_envs
    device = config.get("device", "cpu")
    if not wanted.keys() & set(DEVICES) and isinstance(device, str) and not has_device(device):
        config["device"] = "cpu"  # trained on a machine with a GPU, played on one without


def _player(checkpoint: Path, cfg: Mapping[str, Any], params: Params) -> Any:
    if is_tree(cfg):
        register_tree(cfg)
    runner = build_runner()
    runner.load_config(params)
    player = runner.create_player()
    player.restore(str(checkpoint))
    override_sigma(player.model, cfg.get("sigma"))
    return player


def _play(folder: RunFolder, checkpoint: Path, cfg: Mapping[str, Any], params: Params, words: Sequence[str]) -> Any:
    wanted = given(words)
    asked = parse_launch(root_of(cfg))
    set_deterministic(asked.torch_deterministic)
    player = _player(checkpoint, cfg, params)
    say(f"playing {checkpoint}")
    with _closing(player.env):
        result = player.run()
    left_out = getattr(player, "left_out", 0)
    say(
        f"mean return {result.mean_reward:.1f} +- {result.std_reward:.1f}, "
        f"episode length {result.mean_steps:.1f} steps, over {result.games} games"
        + (f", {left_out_text(left_out)}" if left_out else "")
    )
    if ("video" in wanted and asked.video) or ("capture_video" in wanted and asked.capture_video):
        from manybody.media.motion import imitates, strip_beside
        from manybody.media.policy_video import record_video

        others = [word for word in words if word.partition("=")[0].lstrip("+") not in SIZES]
        player = load_player(folder, checkpoint, [*others, "num_envs=1"])
        with _closing(player.env):
            path = folder.videos / f"{checkpoint.stem}.mp4"
            video = record_video(player, path, asked.video_seconds, asked.video_camera)
            if video:
                say(f"video: {video}")
            if video and imitates(player.env):
                say(f"motion above, policy below: {strip_beside(video)}")
    return result


def _closing(env: Any) -> AbstractContextManager[Any]:
    """Closes environments at the end; those of another library need not know how."""
    return closing(env) if hasattr(env, "close") else nullcontext()


def parse(texts: Sequence[str]) -> tuple[str | None, list[str], str | None]:
    """The path, if any, the settings and the RL Games file, if any, of a ``manybody play`` command line.

    Raises:
        ConfigError: lists the paths that are too many.
    """
    file, texts = take_file(texts)
    paths = [text for text in texts if not text.startswith("-") and ("=" not in text or Path(text).exists())]
    words = [text for text in texts if text not in paths]
    named = given(words).get("checkpoint")
    paths = [*([named] if named else []), *paths]
    if len(paths) > 1:
        what = "a second path; expected one run folder or checkpoint"
        raise ConfigError([*read(words).problems, *(Problem(path, what) for path in paths[1:])])
    return (paths[0] if paths else None), words, file


def main(texts: Sequence[str]) -> Any:
    """``manybody play``. Exits with 2 when there is nothing to play or the command is wrong."""
    from manybody.cli.exit_codes import exit_codes

    with exit_codes():
        return play_run(*parse(texts))
