"""Backbones: the trunks of image classifiers, which give feature maps at several strides."""

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights
from torchvision.models._utils import IntermediateLayerGetter

from pellucid.errors import PellucidError
from pellucid.models.catalogue import EMBEDDED, resolve
from pellucid.models.norms import freeze_norms
from pellucid.models.weights import hub_file, quiet

_TORCHVISION_LAYERS = {
    "mobilenet_v3_large": {"13": 160, "16": 960},
    "mobilenet_v3_small": {"9": 96, "12": 576},
}
"""Of torchvision's networks that are not timm's as well: the layers that its detectors read, and their channels."""

_PROBE = 64
"""The side of the image by which a network's structure is found out."""


class Backbone(nn.Module):
    """A classifier's trunk: a normalised batch (N, 3, h, w) to a list of feature maps, finest first.

    ``name``: a timm name or torchvision/NAME. ``strides``: of the maps to give, such as (4, 8, 16, 32); of
    torchvision's MobileNets both maps are of stride 32. ``pretrained``: begin with published weights; of all but the
    embedded network they are downloaded. ``norm``: 'frozen' (statistics and factors stay; folded into the convolutions)
    or 'batch'. ``frozen_stages``: so many of the first stages do not learn, the stem (stride 2) being the first.
    ``norm_eps``: of frozen normalisation, None for the network's own. ``stride_in_1x1``: a ResNet's bottlenecks stride
    in their first convolution, not in the second.

    ``channels``, ``strides``: of each map. ``mean``, ``std``: on the scale of [0, 1]. Raises PellucidError for a
    network that gives no such maps.
    """

    def __init__(
        self,
        name: str = EMBEDDED,
        strides: Sequence[int] = (4, 8, 16, 32),
        *,
        pretrained: bool = True,
        norm: str = "frozen",
        frozen_stages: int = 2,
        norm_eps: float | None = None,
        stride_in_1x1: bool = False,
    ) -> None:
        super().__init__()
        self.channels: list[int] = []
        self.strides: list[int] = []
        self._stages: list[str] = []
        if norm not in ("frozen", "batch"):
            raise PellucidError(f"norm '{norm}': give 'frozen' or 'batch'")
        self.name = name
        with quiet():
            source, plain = resolve(name)
            if source == "torchvision" and plain in _TORCHVISION_LAYERS:
                self._from_torchvision(plain, pretrained)
            else:
                self._from_timm(plain, tuple(strides), pretrained)
        if stride_in_1x1:
            _stride_first(self.body)
        if norm == "frozen":
            freeze_norms(self.body, torch.zeros(1, 3, _PROBE, _PROBE), norm_eps)
        for parameter in self._first(frozen_stages):
            parameter.requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def _from_timm(self, name: str, strides: tuple[int, ...], pretrained: bool) -> None:
        try:
            probe: Any = timm.create_model(name, pretrained=False, features_only=True)
        except (RuntimeError, AttributeError, AssertionError) as error:
            raise PellucidError(
                f"{name}: gives no feature maps ({str(error)[:80]}); choose a convolutional network"
            ) from error
        reductions, channels = probe.feature_info.reduction(), probe.feature_info.channels()
        missing = [stride for stride in strides if stride not in reductions]
        if missing:
            raise PellucidError(
                f"{name}: has no feature map of stride {missing[0]}, but of {', '.join(map(str, reductions))}; "
                "choose another backbone"
            )
        indices = [reductions.index(stride) for stride in strides]
        self.body: Any = timm.create_model(name, pretrained=False, features_only=True, out_indices=tuple(indices))
        info: Any = self.body.feature_info
        self._stages = [str(info.info[i]["module"]) for i in range(max(indices) + 1)]
        parent, unused = self._after(self._stages[-1])
        for own in unused:  # what comes after the last map would be computed for nothing
            delattr(parent, own)
        self.channels = [channels[i] for i in indices]
        self.strides = list(strides)
        config: Any = probe.pretrained_cfg if hasattr(probe, "pretrained_cfg") else self.body.default_cfg
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])
        if pretrained:
            _fill(self.body, name)

    def _from_torchvision(self, name: str, pretrained: bool) -> None:
        weights = get_model_weights(name).DEFAULT
        if pretrained:
            hub_file(name, weights.url)
        network: Any = get_model(name, weights=weights if pretrained else None, progress=False)
        layers = _TORCHVISION_LAYERS[name]
        self.body = IntermediateLayerGetter(network.features, {layer: layer for layer in layers})
        self._stages = ["0", "2", "4", "7", "13"] if name.endswith("large") else ["0", "1", "2", "4", "9"]
        self.channels, self.strides = list(layers.values()), [32, 32]
        self.mean, self.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def forward(self, batch: Tensor) -> list[Tensor]:
        maps = self.body(batch)
        return list(maps.values()) if isinstance(maps, dict) else list(maps)

    def normalise(self, batch: Tensor) -> Tensor:
        """(N, 3, h, w) in [0, 1] as the network takes it, channels last, in its kind of number."""
        batch = batch.to(next(self.parameters()).dtype)
        mean, std = (batch.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return ((batch - mean) / std).contiguous(memory_format=torch.channels_last)

    def take_last_stage(self) -> nn.Module:
        """Takes the last stage off, and with it the last map: what leads from the map before it to that.

        ``stage_channels``: of what it gives. Raises PellucidError where it cannot be told apart.
        """
        if len(self.channels) < 2:
            raise PellucidError(f"{self.name}: has one map alone; its last stage cannot be taken off")
        parent, names = self._after(self._stages[-2])
        if not names:
            raise PellucidError(f"{self.name}: its last stage cannot be taken off; take head 'mlp', or a ResNet")
        stage = nn.Sequential(*(getattr(parent, name) for name in names))
        for name in names:
            delattr(parent, name)
        self.stage_channels = self.channels.pop()
        self.strides.pop()
        return stage

    def _after(self, module: str) -> tuple[nn.Module, list[str]]:
        """The parent of a module, and its children after that module."""
        parent_name, child = module.rpartition(".")[::2]
        parent = self.body.get_submodule(parent_name)
        names = [name for name, _ in parent.named_children()]
        return parent, names[names.index(child) + 1 :] if child in names else []

    def _first(self, stages: int) -> list[nn.Parameter]:
        """The parameters of the first stages: of all layers that have run when the last of these stages has."""
        if not 0 <= stages <= len(self._stages):
            raise PellucidError(f"{self.name}: {stages} frozen stages; it has {len(self._stages)}, give 0 or more")
        if stages == 0:
            return []
        last = self.body.get_submodule(self._stages[stages - 1])
        seen: list[nn.Module] = []
        ended: list[bool] = []

        def called(module: nn.Module, given: Any, output: Any) -> None:
            if not ended:
                seen.append(module)
            if module is last:
                ended.append(True)

        hooks = [module.register_forward_hook(called) for module in self.body.modules()]
        modes = [(module, module.training) for module in self.body.modules()]
        try:
            self.body.eval()
            with torch.no_grad():
                self.body(torch.zeros(1, 3, _PROBE, _PROBE))
        finally:
            for hook in hooks:
                hook.remove()
            for module, mode in modes:
                module.training = mode
        return [p for module in seen for p in module.parameters(recurse=False)]


def _stride_first(body: nn.Module) -> None:
    """Bottlenecks stride in their 1×1 convolution, as the first ResNets did."""
    for module in body.modules():
        first, second = getattr(module, "conv1", None), getattr(module, "conv2", None)
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d) and first.kernel_size == (1, 1):
            first.stride, second.stride = second.stride, first.stride


def _fill(body: nn.Module, name: str) -> None:
    """Published weights into a trunk: those of the whole classifier, without what the trunk does not have."""
    tensors = _classifier_tensors(name)
    own = body.state_dict()
    kept = {key: tensors[key] for key in own if key in tensors}
    missing = [key for key in own if key not in tensors and not key.endswith("num_batches_tracked")]
    if missing:
        raise PellucidError(
            f"{name}: its published weights have no {missing[0]}; take another backbone, or pretrained=False"
        )
    body.load_state_dict(kept, strict=False)


def _classifier_tensors(name: str) -> dict[str, Tensor]:
    from pellucid.models.loading import load  # the door knows every source of weights

    return load(name).network.state_dict()
