"""The frozen typed section that every configuration model is made of."""

from collections.abc import ItemsView, Iterator, KeysView, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A frozen block of configuration; unknown keys are errors, fields are attributes and mapping items.

    RL Games' clients read it as a mapping: ``config['gamma']``, ``config.get('gamma', 0.99)``, ``'gamma' in config``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False, use_attribute_docstrings=True)

    def __getitem__(self, key: str) -> Any:
        if key not in type(self).model_fields:
            raise KeyError(f"{key}: not a key of {type(self).__name__}; known: {', '.join(type(self).model_fields)}")
        return getattr(self, key)

    def get(self, key: str, default: object = None) -> Any:
        """The value under ``key``, or ``default`` when there is no such key."""
        return getattr(self, key) if key in type(self).model_fields else default

    def __contains__(self, key: object) -> bool:
        return key in type(self).model_fields

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        return iter(type(self).model_fields)

    def keys(self) -> KeysView[str]:
        """The field names."""
        return dict.fromkeys(type(self).model_fields).keys()

    def items(self) -> ItemsView[str, Any]:
        """Pairs of field name and value."""
        return {key: getattr(self, key) for key in type(self).model_fields}.items()

    @classmethod
    def rules(cls, given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
        """Hook: check the rules of training that join several keys.

        Args:
            given: the valid values by key, defaults included. Keys with invalid values are missing, so that all
                problems are reported at once.

        Yields:
            The key to change, and what is expected there.
        """
        yield from ()

    def remarks(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Hook: notices on valid settings. Yields the path of a key below this section, and a sentence."""
        yield from ()

    @model_validator(mode="after")
    def _check_rules(self, info: ValidationInfo) -> Self:
        """Apply the rules, unless the validation context is ``{'training': False}``: playing needs none."""
        if (info.context or {}).get("training", True):
            broken = list(self.rules(dict(self.items())))
            if broken:
                text = "; ".join(f"{key}: expected {what}" for key, what in broken)
                raise PydanticCustomError("rules", "{text}", {"text": text, "broken": broken})
        return self
