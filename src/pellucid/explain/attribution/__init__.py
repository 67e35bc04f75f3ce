"""Attribution: how much each pixel of an image had to do with an objective's value, by every method of the field.

``attribute`` explains one objective, ``attribute_all`` several that share their forward passes.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pellucid.errors import PellucidError, nearest
from pellucid.explain.attribution import cam, gradients, perturbations
from pellucid.explain.attribution.explanation import Explanation
from pellucid.explain.attribution.fields import Field, fields_of
from pellucid.explain.attribution.separate import is_separate
from pellucid.explain.grids import last_conv
from pellucid.explain.objectives import Asked, Objective, as_objective
from pellucid.explain.subject import Subject
from pellucid.explain.watching import match_layers
from pellucid.structures import Photo

__all__ = [
    "METHODS",
    "Explanation",
    "Method",
    "attribute",
    "attribute_all",
    "method_named",
    "named_layer",
    "resolve_layer",
]


@dataclass(frozen=True)
class Method:
    """An attribution method: its name, a title for people, and the function that computes its maps.

    ``signed``: see ``Explanation``. ``of_objects``: whether it explains objects alone, not classes.
    """

    name: str
    title: str
    function: Callable[..., list[Tensor]]
    options: tuple[str, ...]
    uses_layer: bool
    signed: bool = False
    of_objects: bool = False


def _method(
    title: str, function: Callable[..., list[Tensor]], *, signed: bool = False, of_objects: bool = False
) -> Method:
    options = tuple(n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY)
    return Method(
        function.__name__,
        title,
        function,
        tuple(o for o in options if o != "fields"),
        "fields" in options,
        signed,
        of_objects,
    )


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _method("Saliency", gradients.saliency),
        _method("Input × gradient", gradients.input_x_gradient, signed=True),
        _method("SmoothGrad", gradients.smooth_grad),
        _method("Integrated gradients", gradients.integrated_gradients, signed=True),
        _method("DeconvNet", gradients.deconvnet),
        _method("Guided backprop", gradients.guided_backprop),
        _method("Grad-CAM", cam.grad_cam),
        _method("Grad-CAM++", cam.grad_cam_plus_plus),
        _method("LayerCAM", cam.layer_cam),
        _method("ODAM", cam.odam),
        _method("Guided Grad-CAM", cam.guided_grad_cam),
        _method("Occlusion", perturbations.occlusion, signed=True),
        _method("RISE", perturbations.rise, signed=True),
        _method("D-RISE", perturbations.d_rise, signed=True, of_objects=True),
    )
}
"""Every method by name, in the order in which panels show them."""


def method_named(name: str) -> Method:
    """A method by its name; case, spaces, dashes and '++' are taken as people write them ('Grad-CAM++').

    Raises PellucidError for an unknown one, with the nearest names.
    """
    plain = name.strip().lower().replace("++", "_plus_plus").replace("-", "_").replace(" ", "_")
    squeezed = {key.replace("_", ""): key for key in METHODS}
    key = squeezed.get(plain.replace("_", ""))
    if key is None:
        hint = nearest(plain, METHODS) or f"; the methods are {', '.join(METHODS)}"
        raise PellucidError(f"unknown method '{name}'{hint}")
    return METHODS[key]


def resolve_layer(subject: Subject, layer: str | None) -> str:
    """The full name of one layer: given by name or glob, or the default, 'last conv', where None.

    Raises PellucidError for an unknown layer, and for a glob that means several.
    """
    return named_layer(subject.network, layer) or last_conv(subject)


def named_layer(network: nn.Module, layer: str | None) -> str | None:
    """The full name of the one layer that a name or glob means; None for the default, 'last conv'.

    Raises PellucidError for an unknown layer, and for a glob that means several. Runs nothing.
    """
    if layer is None or layer.strip().lower().replace("_", " ") == "last conv":
        return None
    matched = match_layers(network, layer)
    if len(matched) > 1:
        some = ", ".join(matched[:4]) + (" …" if len(matched) > 4 else "")
        raise PellucidError(f"layer '{layer}' means {len(matched)} layers ({some}); name one")
    return matched[0]


def attribute(
    model: nn.Module,
    photo: Photo,
    objective: Asked,
    *,
    method: str = "grad_cam",
    layer: str | None = None,
    **options: Any,
) -> Explanation:
    """How much each pixel of a photo had to do with an objective's value.

    ``model``: what ``pellucid.load`` returns, or any module that maps (N, 3, H, W) to predictions. ``photo``: a path, a
    PIL image, an array, a tensor, or a batch (N, 3, H, W); a bare module is given it as it is. ``objective``: an
    Objective, a class (name or index), or a function of one image's predictions. ``method``: a key of ``METHODS``.
    ``layer``: for CAM methods, a layer's name (by default 'last conv', or of an object the map from which it was read).
    ``options``: the method's own (see its function). The model is left bit-identical: modes, hooks, gradients, modules.

    Raises PellucidError for an unknown method, layer, class or option, an unreadable photo, a method that is not
    defined for the network, and a network that gives NaN.
    """
    return attribute_all(model, photo, [objective], method=method, layer=layer, **options)[0]


def attribute_all(
    model: nn.Module,
    photo: Photo,
    objectives: Sequence[Asked],
    *,
    method: str = "grad_cam",
    layer: str | None = None,
    **options: Any,
) -> list[Explanation]:
    """As :func:`attribute`, for several objectives of one photo, which share the forward passes."""
    return explain_subject(Subject(model, photo), objectives, method=method, layer=layer, **options)


def explain_subject(
    subject: Subject,
    objectives: Sequence[Asked],
    *,
    method: str = "grad_cam",
    layer: str | None = None,
    **options: Any,
) -> list[Explanation]:
    """As :func:`attribute_all`, on a photo that a subject has prepared already."""
    chosen = method_named(method)
    unknown = [name for name in options if name not in chosen.options]
    if unknown:
        takes = f"it takes {', '.join(chosen.options)}" if chosen.options else "it takes none"
        raise PellucidError(f"{chosen.name} has no option '{unknown[0]}'; {takes}")
    asked = [as_objective(objective) for objective in objectives]
    if not asked:
        return []
    layers: list[str | None] = [None] * len(asked)
    if chosen.uses_layer:
        fields = options["fields"] = _fields(subject, asked, named_layer(subject.network, layer))
        layers = [field.layer for field in fields]
    maps = chosen.function(subject, asked, **options)
    return [
        Explanation(
            method=chosen.name,
            target=str(objective),
            layer=own,
            frame_map=subject.plain_map(frame_map),
            placement=subject.placements[0],
            signed=chosen.signed,
            batched=subject.batched,
        )
        for objective, frame_map, own in zip(asked, maps, layers, strict=True)
    ]


def _fields(subject: Subject, objectives: Sequence[Objective], named: str | None) -> list[Field]:
    """What CAM methods look at for each objective: at the layer named, or at each objective's own by default."""
    if named is None and is_separate(subject, objectives):
        return fields_of(subject, objectives, None)
    layers = [named or default_layer(subject, objective) for objective in objectives]
    found: dict[int, Field] = {}
    for one in dict.fromkeys(layers):
        mine = [i for i, own in enumerate(layers) if own == one]
        found |= dict(zip(mine, fields_of(subject, [objectives[i] for i in mine], one), strict=True))
    return [found[i] for i in range(len(objectives))]


def default_layer(subject: Subject, objective: Objective) -> str:
    """The layer that CAM methods look at where none is named: the map from which an object was read, or 'last conv'."""
    if objective.leaf is not None and len(subject.frame) == 1:
        trace = subject.keep()[0].trace
        layer = objective.leaf.layer(trace) if trace is not None else None
        if layer is not None:
            return layer
    return last_conv(subject)
