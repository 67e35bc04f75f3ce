"""One tensor operation of a forward pass, its arguments by name."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Call:
    """One operation: its name without overload and underscore, its arguments by name, and what it gave."""

    func: Any
    name: str
    arguments: dict[str, Any]
    outputs: list[Any]
    tensors: list[Tensor]
    written: list[Tensor]

    @classmethod
    def of(cls, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> "Call":
        schema = func._schema.arguments
        arguments = {argument.name: argument.default_value for argument in schema}
        arguments.update(zip((argument.name for argument in schema), args, strict=False))
        arguments.update(kwargs)
        written = [
            tensor
            for argument in schema
            if argument.alias_info is not None and argument.alias_info.is_write
            for tensor in tensors_in(arguments[argument.name])
        ]
        name = func._schema.name.removeprefix("aten::")
        name = name.removesuffix("_") if written else name
        outputs = list(out) if isinstance(out, (list, tuple)) else [out]
        return cls(func, name, arguments, outputs, list(tensors_in(arguments.values())), written)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def shape(self) -> torch.Size:
        """Of the first output."""
        shape: torch.Size = self.outputs[0].shape
        return shape


def tensors_in(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif not isinstance(value, str) and isinstance(value, Iterable):
        for part in value:
            yield from tensors_in(part)
