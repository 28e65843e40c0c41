"""Settings in ``params.network`` of the networks ``actor_critic`` and ``resnet_actor_critic``."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from manybody.config.section import Section
from manybody.config.types import Count, EmptyBlock, Flag, NoneWord, Number, Text, Whole, expected


def _no_activation(value: object) -> object:
    return "None" if str(value).lower() == "none" else value


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

    units: tuple[Count, ...]
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
    """The policy's head for continuous actions: a Gaussian with mean mu and standard deviation sigma per action."""

    mu_activation: Activation
    """The function after the head that gives mu."""
    sigma_activation: Activation
    """The function after the raw value of sigma (before ``sigma_parametrization``)."""
    mu_init: InitializerConfig
    """How the weights of the mu head are drawn."""
    sigma_init: InitializerConfig
    """How sigma's parameter (``fixed_sigma``) or head weights are drawn."""
    fixed_sigma: Flag
    """True: one learned number per action. False: a linear head, so that sigma depends on the observation."""
    learn_sigma: Flag = True
    """False: sigma stays as it was drawn (IsaacGymEnvs' AMP); it needs ``fixed_sigma``."""
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
        if not (self.learn_sigma or self.fixed_sigma):
            raise expected("fixed_sigma: True with learn_sigma: False")
        return self


class DiscreteSpaceConfig(Section):
    """The policy's head for discrete actions: one logit per action. The block is empty."""


class SpaceConfig(Section):
    """The kind of action: exactly one of these keys. An empty ``discrete:`` or ``multi_discrete:`` counts."""

    continuous: ContinuousSpaceConfig | None = None
    """Real-valued actions."""
    discrete: Annotated[DiscreteSpaceConfig | None, EmptyBlock] = None
    """One choice among A actions (``Discrete``)."""
    multi_discrete: Annotated[DiscreteSpaceConfig | None, EmptyBlock] = None
    """Several choices at once, of sizes that may differ (``MultiDiscrete``, ``Tuple`` of ``Discrete``)."""

    @model_validator(mode="after")
    def _one_kind(self) -> "SpaceConfig":
        if sum(value is not None for _, value in self.items()) != 1:
            raise expected(f"exactly one of {', '.join(type(self).model_fields)}: the kind of action")
        return self

    @property
    def kind(self) -> str:
        """The key that is present."""
        return next(key for key, value in self.items() if value is not None)


class RnnConfig(Section):
    """A recurrent layer, after the hidden layers, or before them with ``before_mlp``."""

    name: Literal["lstm", "gru", "identity"]
    """The kind of layer; ``identity`` passes its input through, for comparison."""
    units: Count
    """Width of the state and of the output; with ``identity`` the width of its input."""
    layers: Count = 1
    """Number of recurrent layers, one on top of the other."""
    before_mlp: Flag = False
    """True: observation, recurrent layer, hidden layers. False: observation, hidden layers, recurrent layer."""
    concat_input: Flag = False
    """Show the observation to the recurrent layer beside the output of the hidden layers. With ``before_mlp``,
    where it sees nothing else, this changes nothing."""
    concat_output: Flag = False
    """Show the observation beside the output of the recurrent layer to what follows it."""
    layer_norm: Flag = False
    """Normalise the output of the recurrent layer."""


def _not_empty(value: tuple[object, ...]) -> tuple[object, ...]:
    if not value:
        raise expected("a list of at least one")
    return value


NotEmpty = AfterValidator(_not_empty)


class ConvConfig(Section):
    """One convolution."""

    filters: Count
    """Number of channels that it gives."""
    kernel_size: Count
    """Width (and height) of the kernel, in pixels."""
    strides: Count = 1
    """Pixels from one application of the kernel to the next."""
    padding: Annotated[Whole, Field(ge=0)] = 0
    """Zeros added at each edge, in pixels."""


class CnnConfig(Section):
    """Convolutions, each followed by the activation and ``network.normalization``; the result is flattened."""

    type: Literal["conv2d", "conv2d_flatten", "conv2d_spatial_softargmax", "coord_conv2d", "conv1d"]
    """``conv2d`` (``conv2d_flatten`` is the same); ``conv2d_spatial_softargmax`` ends in the mean position of each
    channel (arXiv 1504.00702); ``coord_conv2d`` shows the first convolution where its pixels are (arXiv 1807.03247);
    ``conv1d`` convolves along the last axis."""
    convs: Annotated[tuple[ConvConfig, ...], NotEmpty]
    """The convolutions in order."""
    activation: Activation
    """The function after each convolution."""
    initializer: InitializerConfig = InitializerConfig()
    """How the convolutions' weights are drawn."""
    permute_input: Flag = True
    """True: images are (height, width, channels), as cameras give them. False: (channels, height, width)."""


class ImpalaConfig(Section):
    """The residual convolutions of IMPALA (arXiv 1802.01561, figure 3), with relu inside the blocks."""

    conv_depths: Annotated[tuple[Count, ...], NotEmpty]
    """Channels of each block; each halves height and width. IMPALA has [16, 32, 32]."""
    permute_input: Flag = True
    """True: images are (height, width, channels), as cameras give them. False: (channels, height, width)."""


class EncoderConfig(Section):
    """What one key of a ``Dict`` observation passes through; an empty block flattens it."""

    cnn: Annotated[CnnConfig | None, NoneWord] = None
    """Convolutions, for images and signals."""
    mlp: Annotated[MLPConfig | None, NoneWord] = None
    """Hidden layers after that."""


def _broken(key: str, what: str) -> PydanticCustomError:
    """The error of a rule between keys, reported at ``key``."""
    return PydanticCustomError("rules", "{text}", {"text": f"{key}: expected {what}", "broken": [(key, what)]})


class _TrunkConfig(Section):
    """What the two networks share."""

    name: Text
    """The network's registered name."""
    separate: Flag = False
    """True: actor and critic have layers of their own; False: they share them."""
    central_value: Flag = False
    """True: the network only predicts values. It belongs in ``central_value_config.network`` and has no ``space``."""
    normalization: Annotated[Literal["layer_norm", "batch_norm"] | None, NoneWord] = None
    """Normalisation after each hidden layer and each convolution."""
    value_activation: Activation = "None"
    """The function after the value head."""
    mlp: MLPConfig
    """The hidden layers."""
    rnn: Annotated[RnnConfig | None, NoneWord] = None
    """A recurrent layer, before or after the hidden layers."""
    space: SpaceConfig | None = None
    """The policy's head; required without ``central_value``."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.central_value and self.space is not None:
            raise _broken("space", "nothing with central_value: True, which predicts values only")
        if self.central_value and self.separate:
            raise _broken("separate", "False with central_value: True, which has no actor")
        if self.space is None and not self.central_value:
            what = "the kind of action: a block with continuous, discrete or multi_discrete"
            raise _broken("space", f"{what} (or, in a central_value_config, central_value: True)")
        return self


class ActorCriticConfig(_TrunkConfig):
    """The ``actor_critic`` network: convolutions, hidden and recurrent layers, a policy head and a value head."""

    cnn: Annotated[CnnConfig | None, NoneWord] = None
    """Convolutions before the hidden layers, for observations that are one image or signal."""
    encoders: Annotated[dict[Text, Annotated[EncoderConfig, EmptyBlock]] | None, NoneWord] = None
    """One block per key of a ``Dict`` observation; what they give is concatenated in this order. Without it the
    keys are flattened and concatenated, and a ``Dict`` with an image (three axes) is refused."""

    @model_validator(mode="after")
    def _one_encoder(self) -> Self:
        if self.cnn is not None and self.encoders is not None:
            raise _broken("cnn", "no cnn beside encoders: write it into the block of its key")
        return self


class ResnetActorCriticConfig(_TrunkConfig):
    """The ``resnet_actor_critic`` network: ``actor_critic`` after the residual convolutions of IMPALA."""

    cnn: ImpalaConfig
    """The residual convolutions. What they give passes through ``mlp.activation``."""

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.separate:
            raise _broken("separate", "False: in this network actor and critic always share their layers")
        return self
