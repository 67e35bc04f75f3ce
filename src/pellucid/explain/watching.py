"""Watching a network's layers: their activations, recorded by hooks that are gone afterwards."""

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pellucid.errors import PellucidError, nearest


class _Stop(BaseException):
    """Ends a forward pass once every wanted activation is there.

    Not an Exception, so that a network's own ``except Exception`` lets it through.
    """


@dataclass(frozen=True)
class LayerCall:
    """One layer, and which of its calls within a forward pass is meant (None: its only one)."""

    name: str
    call: int | None = None

    @classmethod
    def parse(cls, text: str) -> "LayerCall":
        """'layer1.0.relu#1' is the second call of 'layer1.0.relu'; without '#' the layer must be called once."""
        name, mark, call = text.partition("#")
        if not mark:
            return cls(name)
        if not call.isdecimal():
            raise PellucidError(f"layer '{text}': what follows '#' must be the number of a call, counted from 0")
        return cls(name, int(call))

    def __str__(self) -> str:
        return self.name if self.call is None else f"{self.name}#{self.call}"


def layer_names(model: nn.Module) -> list[str]:
    """The names of all layers of a network (modules, as ``named_modules`` gives them, the network itself left out)."""
    return [name for name, _ in model.named_modules() if name]


def match_layers(model: nn.Module, patterns: str | Iterable[str]) -> list[str]:
    """The layers that names or globs ('blocks.*', 'layer4', 'layer1.0.relu#1') mean, in the network's order.

    A ``*`` stands for one level of the name ('blocks.*' is every stage, not what is inside), ``**`` for any number.
    Raises PellucidError for a name or glob that no layer has, with the nearest names.
    """
    names = layer_names(model)
    order = {name: i for i, name in enumerate(names)}
    found: dict[str, None] = {}
    for text in [patterns] if isinstance(patterns, str) else patterns:
        pattern = LayerCall.parse(text)
        if pattern.name in order:
            found[str(pattern)] = None
            continue
        matches = [n for n in names if _matches(n, pattern.name)]
        if not matches:
            known = [n for n in names if n.count(".") <= pattern.name.count(".") + 1]
            raise PellucidError(f"unknown layer '{text}'{nearest(pattern.name, known) or _some(names)}")
        found.update((str(LayerCall(n, pattern.call)), None) for n in matches)
    return sorted(found, key=lambda t: order[LayerCall.parse(t).name])


def _matches(name: str, pattern: str) -> bool:
    if "**" in pattern:
        return fnmatch.fnmatchcase(name, pattern.replace("**", "*"))
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(fnmatch.fnmatchcase(p, w) for p, w in zip(parts, wanted, strict=True))


def _some(names: list[str]) -> str:
    if not names:
        return "; this network has no named layers"
    top = [n for n in names if "." not in n]
    return f"; its top layers are {', '.join(top[:12])}{' …' if len(top) > 12 else ''}"


def first_tensor(output: Any) -> Tensor | None:
    """The tensor in a layer's output: itself, or the first one inside a tuple, list or mapping.

    None if there is none.
    """
    if isinstance(output, Tensor):
        return output
    parts: Iterable[Any] = ()
    if isinstance(output, Mapping):
        parts = output.values()
    elif isinstance(output, (tuple, list)):
        parts = output
    return next((t for t in map(first_tensor, parts) if t is not None), None)


def _replace_first(output: Any, new: Tensor) -> Any:
    """The same output with its first tensor replaced."""
    if isinstance(output, Tensor):
        return new
    if isinstance(output, Mapping):
        key = next(k for k, v in output.items() if first_tensor(v) is not None)
        changed = dict(output)
        changed[key] = _replace_first(output[key], new)
        return type(output)(changed)  # type: ignore[call-arg]
    index = next(i for i, v in enumerate(output) if first_tensor(v) is not None)
    parts = [_replace_first(v, new) if i == index else v for i, v in enumerate(output)]
    return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)


@dataclass
class Watch:
    """Records the activations of named layers of any network; use it through :func:`watch`.

    Within its ``with`` block, ``model(x)`` called by anyone is recorded and runs to its end. Calling the watch itself,
    ``seen(x)``, runs the model only as deep as the deepest watched layer and returns the activations.
    ``seen["layer4"]`` is an activation of the last pass; ``seen.activations`` maps every watched name to its own.
    """

    model: nn.Module
    layers: list[str]
    gradients_from: str | None = None
    """A layer from which on gradients are recorded.

    Its activation becomes a leaf of the graph, whatever ran before it.
    """
    keep: Callable[[str, Tensor], Any] | None = None
    """What to record of an activation, given the layer's text, instead of the activation itself."""
    activations: dict[str, Tensor] = field(default_factory=dict)
    _handles: list[RemovableHandle] = field(default_factory=list)
    _calls: dict[str, int] = field(default_factory=dict)
    _settled: set[str] = field(default_factory=set)
    _stopping: bool = False
    _grad_mode: bool = True

    def __enter__(self) -> Self:
        if self._handles:
            raise RuntimeError("this watch is already active")
        self._grad_mode = torch.is_grad_enabled()
        modules = dict(self.model.named_modules())
        wanted = [LayerCall.parse(text) for text in self.layers]
        try:
            # Last registered runs last: the watch sees what the network's own hooks made of an output.
            self._handles.append(self.model.register_forward_pre_hook(self._begin))
            for name in dict.fromkeys(layer.name for layer in wanted):
                self._handles.append(modules[name].register_forward_hook(self._recorder(name)))
                parent = name.rpartition(".")[0]
                if parent and not self._called_once(modules, name):
                    self._handles.append(modules[parent].register_forward_hook(self._settler(name)))
            self._handles.append(self.model.register_forward_hook(self._end))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()
        torch.set_grad_enabled(self._grad_mode)

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self.activations[name]
        except KeyError:
            raise PellucidError(
                f"layer '{name}' was not reached by the forward pass{nearest(name, self.activations)}"
            ) from None

    def __call__(self, *inputs: Any, through: Callable[..., Any] | None = None) -> dict[str, Tensor]:
        """Runs the model on ``inputs`` no deeper than needed and returns the activations by name.

        ``through`` is what to call instead of the model itself, where something wraps it.
        Raises PellucidError for a layer that the pass does not reach.
        """
        self._stopping = True
        self.begin()
        try:
            (through or self.model)(*inputs)
        except _Stop:
            pass
        finally:
            self._stopping = False
        self.check_all_reached()
        return dict(self.activations)

    def check_all_reached(self) -> None:
        """Raises PellucidError for a watched layer that the last pass did not run."""
        for text in self.layers:
            if text in self.activations:
                continue
            layer = LayerCall.parse(text)
            calls = self._calls.get(layer.name, 0)
            if calls:
                raise PellucidError(
                    f"layer '{text}': '{layer.name}' is called {calls} times in a pass, 0 to {calls - 1}"
                )
            raise PellucidError(
                f"layer '{text}' was not reached by the forward pass; choose a layer that the network runs"
            )

    def begin(self) -> None:
        """Forgets the last pass. Passes through the model itself begin so; others, through parts of it, must say so."""
        self.activations.clear()
        self._calls.clear()
        self._settled.clear()

    def _begin(self, module: nn.Module, inputs: Any) -> None:
        self.begin()

    def _recorder(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        modules = dict(self.model.named_modules())
        once = self._called_once(modules, name)
        wanted = {LayerCall.parse(t).call: t for t in self.layers if LayerCall.parse(t).name == name}

        def record(module: nn.Module, inputs: Any, output: Any) -> Any:
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            if call not in wanted and (None not in wanted or call > 0):
                return None
            text = wanted[call] if call in wanted else wanted[None]
            tensor = first_tensor(output)
            if tensor is None:
                raise PellucidError(f"layer '{text}' gives no tensor; choose another layer")
            if self.keep is not None:
                self.activations[text] = self.keep(text, tensor)
                if call in wanted or once:
                    self._settle(text)
                return None
            if text == self.gradients_from:
                torch.set_grad_enabled(True)
                tensor = tensor.detach().requires_grad_()
            self.activations[text] = tensor
            if call in wanted or once:
                self._settle(text)
            # The network goes on with a copy, so that an in-place operation after the layer (a ReLU, most often)
            # cannot overwrite what was recorded, nor break its graph.
            return _replace_first(output, tensor.clone())

        return record

    def _settler(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        """When the parent of a layer that might be called again returns, the layer's calls are all made."""

        def settle(module: nn.Module, inputs: Any, output: Any) -> None:
            if name in self.layers and name in self.activations:
                self._refuse_ambiguous(name)
                self._settle(name)

        return settle

    def _settle(self, text: str) -> None:
        self._settled.add(text)
        if self._stopping and len(self._settled) == len(set(self.layers)):
            raise _Stop

    def _end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        for text in self.layers:
            if text in self.activations:
                self._refuse_ambiguous(text)

    def _refuse_ambiguous(self, text: str) -> None:
        calls = self._calls.get(text, 0)
        if calls > 1:
            raise PellucidError(
                f"layer '{text}' is called {calls} times in a pass; say which call: '{text}#0' to '{text}#{calls - 1}'"
            )

    def _called_once(self, modules: dict[str, nn.Module], name: str) -> bool:
        """Whether a layer may be taken to be called once a pass, so that the pass can end right after it.

        A module with weights, or one of an ``nn.Sequential``, is; a bare activation is often shared within its parent.
        """
        parent = modules.get(name.rpartition(".")[0])
        has_weights = next(modules[name].parameters(), None) is not None
        return has_weights or isinstance(parent, nn.Sequential)

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


def watch(
    model: nn.Module,
    layers: str | Iterable[str],
    *,
    gradients_from: str | None = None,
    keep: Callable[[str, Tensor], Any] | None = None,
) -> Watch:
    """A context manager that records the activations of a network's layers, and leaves nothing behind.

    ``layers``: names or globs, see :func:`match_layers`. ``gradients_from``: one of the layers; under ``no_grad``, what
    runs after it is recorded for differentiation with respect to its activation, and what runs before it is not.
    ``keep``: given a layer's text and its activation while the pass is under way, returns what is recorded instead,
    so that large activations need not be held; what runs after the layer may overwrite the activation itself.
    Works on any network: nothing in it is replaced, and in-place or functional activations after a layer do not touch
    what was recorded.

    >>> with watch(model, ["layer4"]) as seen:
    ...     seen(images)                 # stops after layer4
    ...     seen["layer4"].shape

    Raises PellucidError for an unknown layer, a layer not reached, and a layer called several times whose call is not
    named; ValueError for ``keep`` together with ``gradients_from``, which needs the activation itself.
    """
    if keep is not None and gradients_from is not None:
        raise ValueError("keep and gradients_from do not go together")
    matched = match_layers(model, layers)
    if gradients_from is not None and gradients_from not in matched:
        raise PellucidError(f"layer '{gradients_from}' is not among the watched ones: {', '.join(matched)}")
    return Watch(model, matched, gradients_from, keep)
