"""What stands under ``params.network`` for the ``actor_critic`` network."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from manybody.config.base import Section
from manybody.config.types import Flag, NoneWord, Number, Text, Whole, expected


def _no_activation(value: Any) -> Any:
    return "None" if value is None or (isinstance(value, str) and value.lower() == "none") else value


Activation = Annotated[
    Literal["relu", "tanh", "sigmoid", "elu", "selu", "swish", "gelu", "softplus", "None"],
    BeforeValidator(_no_activation),
]
"""An activation by RL Games' name; the text ``None`` (or null) is the identity."""

INITIALIZERS: dict[str, tuple[str, ...]] = {
    "default": (),
    "const_initializer": ("val",),
    "orthogonal_initializer": ("gain",),
    "orthogonal": ("gain",),
    "glorot_normal_initializer": ("gain",),
    "glorot_uniform_initializer": ("gain",),
    "variance_scaling_initializer": ("mode", "scale"),
    "random_uniform_initializer": ("a", "b"),
    "kaiming_normal": ("a", "mode", "nonlinearity"),
}
"""Each initialiser and the arguments it takes."""


class InitializerConfig(Section):
    """How weights are drawn: ``name`` and the arguments of that initialiser. Biases start at zero."""

    name: Literal[
        "default",
        "const_initializer",
        "orthogonal_initializer",
        "orthogonal",
        "glorot_normal_initializer",
        "glorot_uniform_initializer",
        "variance_scaling_initializer",
        "random_uniform_initializer",
        "kaiming_normal",
    ] = "default"
    """The initialiser; ``default`` keeps torch's own."""
    val: Number | None = None
    """Value of ``const_initializer``, which requires it."""
    gain: Number | None = None
    """Factor of the orthogonal and glorot initialisers (torch's default: 1)."""
    mode: Annotated[Literal["fan_in", "fan_out", "fan_avg"] | None, NoneWord] = None
    """Which fan scales ``variance_scaling_initializer`` and ``kaiming_normal`` (default fan_in)."""
    scale: Annotated[Number, Field(gt=0)] | None = None
    """Factor of ``variance_scaling_initializer`` (default 2)."""
    a: Number | None = None
    """Lower end of ``random_uniform_initializer``, negative slope of ``kaiming_normal`` (default 0)."""
    b: Number | None = None
    """Upper end of ``random_uniform_initializer`` (default 1)."""
    nonlinearity: Text | None = None
    """The function after the layer, for ``kaiming_normal`` (torch's default: leaky_relu)."""

    @model_validator(mode="after")
    def _arguments_fit(self) -> "InitializerConfig":
        takes = INITIALIZERS[self.name]
        extra = [key for key in self.arguments if key not in takes]
        if extra:
            raise expected(f"only {' and '.join(takes)} with {self.name}, not {', '.join(extra)}")
        if self.name == "const_initializer" and self.val is None:
            raise expected("val, the constant, with const_initializer")
        if self.name == "kaiming_normal" and self.mode == "fan_avg":
            raise expected("mode 'fan_in' or 'fan_out' with kaiming_normal")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The initialiser's arguments that were given, by name; ``default`` takes none and ignores them."""
        given = {key: value for key, value in self.items() if key != "name" and value is not None}
        return {} if self.name == "default" else given


class MLPConfig(Section):
    """The hidden layers."""

    units: tuple[Annotated[Whole, Field(ge=1)], ...]
    """Width of each hidden layer; an empty list means none."""
    activation: Activation
    """The function after each hidden layer."""
    initializer: InitializerConfig = InitializerConfig()
    """How the hidden layers' weights are drawn."""
    d2rl: Flag = False
    """Feed the input again into every hidden layer after the first (D2RL, arXiv 2010.09163)."""
    norm_only_first_layer: Flag = False
    """Put ``normalization`` after the first hidden layer only."""


class ContinuousSpaceConfig(Section):
    """The policy's head for continuous actions: a Gaussian with mean mu and deviation sigma per action."""

    mu_activation: Activation
    """The function after the head that gives mu."""
    sigma_activation: Activation
    """The function after what gives sigma (before ``sigma_parametrization``)."""
    mu_init: InitializerConfig
    """How the weights of the mu head are drawn."""
    sigma_init: InitializerConfig
    """How sigma's parameter (``fixed_sigma``) or head weights are drawn."""
    fixed_sigma: Flag
    """True: one learned number per action. False: a linear head, so that sigma depends on the observation."""
    min_sigma: Annotated[Number, Field(ge=0)] = 0.0
    """Added to sigma, so that it never falls below this."""
    logstd_bounds: Annotated[tuple[Number, Number] | None, NoneWord] = None
    """Range that the logarithm of sigma is clamped to; None leaves it free."""
    sigma_parametrization: Literal["exp", "softplus", "linear", "scalar"] = "exp"
    """How the raw value becomes sigma; ``scalar`` is another name of ``linear``."""

    @model_validator(mode="after")
    def _bounds_ascend(self) -> "ContinuousSpaceConfig":
        if self.logstd_bounds is not None and self.logstd_bounds[0] >= self.logstd_bounds[1]:
            raise expected("logstd_bounds as [lower, upper] with lower < upper")
        return self


class SpaceConfig(Section):
    """The kind of action, by the key that is present."""

    continuous: ContinuousSpaceConfig
    """Real-valued actions."""


class ActorCriticConfig(Section):
    """The ``actor_critic`` network: hidden layers, a policy head and a value head."""

    name: Text
    """The network's registered name."""
    separate: Flag = False
    """True: actor and critic have hidden layers of their own; False: they share them."""
    normalization: Annotated[Literal["layer_norm", "batch_norm"] | None, NoneWord] = None
    """Normalisation after each hidden layer."""
    value_activation: Activation = "None"
    """The function after the value head."""
    mlp: MLPConfig
    """The hidden layers."""
    space: SpaceConfig
    """The policy's head."""
