"""R-CNN: a network looks at a warped crop of every proposal; SVMs name it, and linear maps correct its box."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.models.catalogue import EMBEDDED
from pellucid.models.preprocessing import Preprocessing
from pellucid.models.region.rcnn_crops import CONTEXT, Crops, batches
from pellucid.models.region.rcnn_fitting import TARGET_NORM, SvmSettings, fit_ridges, fit_svms
from pellucid.models.region.rcnn_photos import CropDetector, View
from pellucid.models.region.rcnn_trace import STEEPNESS, CropTrace, JudgedCrops
from pellucid.models.region.rcnn_trunk import Trunk, make_trunk
from pellucid.ops.boxes import pairwise_iou
from pellucid.ops.coding import BoxCoder
from pellucid.ops.matching import BELOW, match, spared
from pellucid.ops.sampling import sample
from pellucid.ops.suppression import batched_nms
from pellucid.structures import Annotations, Classes, Instances, Photo, Sample
from pellucid.structures.trace import Trace

_POSITIVE = 0.5
_SVM_NEGATIVE = 0.3
_REGRESSED = 0.6
_MEMORY = 2**31
"""Bytes that the features of all images may take while SVMs are fitted; else fewer proposals of each are looked at."""


class RcnnNetwork(nn.Module):
    """The layers of R-CNN. Of crops (N, 3, s, s) it gives pooled features and, for boxes, those of each quadrant.

    ``trunk``; ``classifier``, to K + 1 classes, the background last, which fine-tuning needs; and, fitted afterwards,
    ``svm_weight``, ``svm_bias``, ``box_weight`` and ``box_bias``, with the factors ``scale`` and ``box_scale`` that
    bring features to a common length. ``fitted``: whether they are, 0 or 1.
    """

    fitted: Tensor
    scale: Tensor
    box_scale: Tensor
    svm_weight: Tensor
    svm_bias: Tensor
    box_weight: Tensor
    box_bias: Tensor

    def __init__(self, trunk: Trunk, classes: int, layout: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.layout = layout
        C = trunk.channels
        self.classifier = nn.Linear(C, classes + 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        for name, shape in (
            ("fitted", ()),
            ("scale", ()),
            ("box_scale", ()),
            ("svm_weight", (classes, C)),
            ("svm_bias", (classes,)),
            ("box_weight", (classes, 4, C * layout**2)),
            ("box_bias", (classes, 4)),
        ):
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C) and (N, C · layout²)."""
        return self.pooled(self.trunk(crops))

    def pooled(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the trunk's maps (N, C, h, w)."""
        return maps.mean((2, 3)), F.adaptive_avg_pool2d(maps, self.layout).flatten(1)


class Rcnn(CropDetector):
    """R-CNN (Girshick et al., CVPR 2014) on any convolutional classifier.

    ``loss`` fine-tunes the network to K classes and background; ``finish`` then fits an SVM and a box regressor a
    class to its features. Before that the softmax scores are used, and the proposals are the boxes.
    Scores: softmax probabilities; of SVMs sigmoid(3 · margin), which is .05 where the hinge loss of background ends.
    ``logits``: scores before the softmax, or the margins. Suppressed class by class above an IoU of ``nms``.
    """

    task = "detection"
    of_classes = ("classifier.", "svm_", "box_", "scale", "fitted")
    protocols = ("coco",)
    needs_proposals = True
    separate_parts = ("class",)
    network: RcnnNetwork

    def __init__(
        self,
        classes: Classes,
        backbone: str,
        settings: dict[str, Any],
        trunk: Trunk,
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__(classes, f"rcnn ({backbone})", "rcnn", backbone, settings, preprocessing)
        self.network = RcnnNetwork(trunk, len(classes), settings["layout"])
        self._coder = BoxCoder()

    def found(self, image: Tensor, boxes: Tensor) -> Instances:
        crops = self.crops(image)
        with torch.no_grad():
            judged = self.judged(crops, boxes)
            self.check_finite(judged.scores)
            rows, labels = self.survivors(judged)
            rows, labels = rows[: self.settings["detections"]], labels[: self.settings["detections"]]
        if torch.is_grad_enabled():
            seen, rows = rows.unique(return_inverse=True)
            judged = self.judged(crops, boxes[seen])
        return judged.instances(rows, labels)

    def traced_view(self, view: View, boxes: Tensor) -> CropTrace:
        return CropTrace(self, view, boxes)

    @property
    def thresholds(self) -> dict[str, float]:
        return {"score": self.settings["score_threshold"], "overlap": self.settings["nms"]}

    def _choose(self, thresholds: Mapping[str, float]) -> None:
        names = {"score": "score_threshold", "overlap": "nms"}
        self.settings = {**self.settings, **{names[name]: value for name, value in thresholds.items()}}

    def from_trace(self, trace: Trace, *, parts: bool = True) -> Annotations:
        assert isinstance(trace, CropTrace)
        chosen = trace.chosen_by(self)
        return Annotations(chosen.size, self.classes, instances=chosen.objects(), trace=chosen)

    def survivors(self, judged: JudgedCrops) -> tuple[Tensor, Tensor]:
        """Rows and classes of what is left after suppression, best first."""
        rows, labels = (judged.scores > self.settings["score_threshold"]).nonzero(as_tuple=True)
        kept = batched_nms(judged.boxes[rows, labels], judged.scores[rows, labels], labels, self.settings["nms"])
        return rows[kept], labels[kept]

    def crops(self, image: Tensor) -> Crops:
        """What cuts crops out of a normalised image (3, H, W)."""
        return Crops(image, self.settings["crop_size"], self.settings["context"])

    def loss(
        self, images: Sequence[Photo] | Tensor, truths: Sequence[Annotations], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """``classification``: the cross entropy over K classes and background, of each image's sampled proposals.

        Positives overlap a truth by an IoU of .5 or more, the truths themselves among them; all else is background, but
        for what crowds hide. Without ``truth.proposals`` the images are searched, which takes half a second each.
        """
        batch, placements = self.prepare(images)
        self.check_truths(truths, placements)
        if seeds is None:
            seeds = torch.randint(2**31, (len(batch),)).tolist()
        crops, wanted, weights = [], [], []
        for frame, placement, truth, seed in zip(batch, placements, truths, seeds, strict=True):
            view = View(frame, placement)
            boxes, classes = self._samples(view, truth, seed)
            cut = self.crops(self.normalised(view.image))
            share = 1 / len(boxes) if len(boxes) else 0.0
            if not len(boxes):  # nothing to learn from, but every parameter is reached
                boxes, classes = boxes.new_tensor([[0.0, 0.0, 1.0, 1.0]]), classes.new_zeros(1)
            crops.append(cut(boxes))
            wanted.append(classes)
            weights.append(boxes.new_full((len(boxes),), share / len(batch)))
        features, _ = self.network(torch.cat(crops))
        entropies = F.cross_entropy(self.network.classifier(features), torch.cat(wanted), reduction="none")
        return {"classification": (entropies * torch.cat(weights)).sum()}

    def finish(self, dataset: Sequence[Sample], progress: Callable[[int, int], None] | None = None) -> None:
        """Fits the SVMs and the box regressors to the features of a data set of these classes.

        SVMs: positives are the truths alone, negatives all proposals of an IoU below .3 with every truth of the class.
        Regressors: proposals of more than .6. Crowds and difficult objects are neither. ``progress`` is told of images
        done and of all. Without any object in it nothing is fitted.
        """
        if not len(dataset):
            return
        was_training = self.training
        self.eval()
        try:
            gathered = self._gathered(dataset, progress)
        finally:
            self.train(was_training)
        if not any(map(len, gathered.positives)):
            return
        network, settings = self.network, self.settings
        norm = float(np.mean([np.linalg.norm(f.astype(np.float32), axis=1).mean() for f in gathered.features]))
        scale = np.float32(TARGET_NORM / max(norm, 1e-12))
        K = len(self.classes)
        weights, biases = fit_svms(
            [
                np.stack(rows) * scale if rows else np.zeros((0, network.svm_weight.shape[1]))
                for rows in gathered.positives
            ],
            [f * np.float16(scale) for f in gathered.features],
            gathered.negative,
            SvmSettings(c=settings["svm_c"], passes=settings["passes"]),
        )
        fitted = {"fitted": 1.0, "scale": scale, "svm_weight": weights, "svm_bias": biases}
        if gathered.near:
            near = np.stack(gathered.near)
            box_scale = np.float32(TARGET_NORM / max(float(np.linalg.norm(near, axis=1).mean()), 1e-12))
            maps, offsets = fit_ridges(
                near * box_scale, np.array(gathered.near_labels), np.stack(gathered.deltas), K, settings["ridge"]
            )
            fitted |= {"box_scale": box_scale, "box_weight": maps, "box_bias": offsets}
        with torch.no_grad():
            for name, value in fitted.items():
                buffer = getattr(network, name)
                buffer.copy_(torch.as_tensor(value).to(buffer))

    def judged(self, crops: Crops, boxes: Tensor) -> JudgedCrops:
        """What is said of proposals (P, 4)."""
        seen = [self.network(crops(boxes[part])) for part in batches(len(boxes), self.settings["chunk"])]
        pooled, layout = (torch.cat(parts) for parts in zip(*seen, strict=True))
        return self.judged_features(pooled, layout, boxes)

    def judged_features(self, pooled: Tensor, layout: Tensor, boxes: Tensor) -> JudgedCrops:
        """The same of their features."""
        network = self.network
        deltas = torch.einsum("pd,kcd->pkc", layout * network.box_scale, network.box_weight) + network.box_bias
        moved = self._coder.decode(deltas, boxes)
        if not bool(network.fitted):
            logits = network.classifier(pooled)
            return JudgedCrops(logits.softmax(1)[:, :-1], logits, moved, fitted=False)
        margins = F.linear(pooled * network.scale, network.svm_weight, network.svm_bias)
        return JudgedCrops(torch.sigmoid(STEEPNESS * margins), margins, moved, fitted=True)

    def _samples(self, view: View, truth: Annotations, seed: int) -> tuple[Tensor, Tensor]:
        """The boxes (n, 4) of an image that are learned from, and their classes, K for background."""
        K = len(self.classes)
        boxes, labels, ignored = self._truth(view, truth)
        given = self.proposed(view) if truth.proposals is None else view.to_view(truth.proposals.to(boxes))
        proposals = torch.cat((boxes, given))
        matches = match(pairwise_iou(boxes, proposals), _POSITIVE, _POSITIVE)
        matches = spared(matches, proposals, ignored)
        generator = torch.Generator().manual_seed(int(seed))
        positive, negative = sample(matches, self.settings["samples"], self.settings["positive_share"], generator)
        classes = torch.cat((labels[matches[positive]], labels.new_full((len(negative),), K)))
        return proposals[torch.cat((positive, negative))], classes

    def _truth(self, view: View, truth: Annotations) -> tuple[Tensor, Tensor, Tensor]:
        """The objects to learn, boxes (T, 4) and labels (T,), and the boxes of those that are neither good nor bad."""
        instances = (truth.instances or Instances.empty()).to(view.image.device)
        boxes = view.to_view(instances.boxes.float())
        sound = (boxes[:, 2:] > boxes[:, :2]).all(1)
        unclear = instances.crowd | instances.difficult | instances.group_of
        labels = instances.labels[sound & ~unclear]
        return boxes[sound & ~unclear], labels, boxes[sound & unclear]

    def _gathered(self, dataset: Sequence[Sample], progress: Callable[[int, int], None] | None) -> "_Gathered":
        """The features of all proposals and truths of a data set."""
        K, settings, C = len(self.classes), self.settings, self.network.svm_weight.shape[1]
        most = max(32, min(settings["proposals"], _MEMORY // (len(dataset) * C * 2)))
        made = _Gathered(K)
        for done in range(len(dataset)):
            truth = dataset[done].annotations
            batch, placements = self.prepare([dataset[done].read_image()])
            view = View(batch[0], placements[0])
            boxes, labels, ignored = self._truth(view, truth)
            given = self.proposed(view) if truth.proposals is None else view.to_view(truth.proposals.to(boxes))
            given = given[:most]
            with torch.inference_mode():
                crops = self.crops(self.normalised(view.image))
                every = torch.cat((boxes, given))
                seen = [self.network(crops(every[part])) for part in batches(len(every), settings["chunk"])]
                pooled, layout = (torch.cat(parts) for parts in zip(*seen, strict=True))
            made.add(pooled, layout, every, boxes, labels, ignored, self._coder)
            if progress is not None:
                progress(done + 1, len(dataset))
        return made


class _Gathered:
    """What SVMs and regressors learn from."""

    def __init__(self, classes: int) -> None:
        self.positives: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self.features: list[np.ndarray] = []
        self.negative: list[np.ndarray] = []
        self.near: list[np.ndarray] = []
        self.near_labels: list[int] = []
        self.deltas: list[np.ndarray] = []

    def add(
        self,
        pooled: Tensor,
        layout: Tensor,
        every: Tensor,
        truths: Tensor,
        labels: Tensor,
        ignored: Tensor,
        coder: BoxCoder,
    ) -> None:
        """Takes in an image: the features of ``every`` box, of which the first are its truths."""
        T, K = len(truths), len(self.positives)
        iou = pairwise_iou(every, truths)
        of_class = torch.stack([_highest(iou[:, labels == k]) for k in range(K)], 1)
        clear = spared(torch.full((len(every),), BELOW, device=every.device), every, ignored) == BELOW
        clear &= _highest(pairwise_iou(every, ignored)) < _SVM_NEGATIVE
        negative = (of_class < _SVM_NEGATIVE) & clear[:, None]
        rows = pooled.float().cpu().numpy()
        for row, label in zip(rows[:T], labels.tolist(), strict=True):
            self.positives[label].append(row)
        self.features.append(rows[T:].astype(np.float16))
        self.negative.append(negative[T:].cpu().numpy())
        if not T:
            return
        best, nearest = iou.max(1)
        for row in ((best > _REGRESSED) & (every[:, 2:] > every[:, :2]).all(1)).nonzero().flatten().tolist():
            truth = int(nearest[row])
            self.near.append(layout[row].float().cpu().numpy())
            self.near_labels.append(int(labels[truth]))
            self.deltas.append(coder.encode(truths[truth : truth + 1], every[row : row + 1])[0].cpu().numpy())


def _highest(iou: Tensor) -> Tensor:
    return iou.amax(1) if iou.shape[1] else iou.new_zeros(len(iou))


def rcnn(
    classes: Classes,
    backbone: str = EMBEDDED,
    *,
    pretrained: bool = True,
    crop_size: int = 128,
    context: float = CONTEXT,
    frozen_norm: bool = True,
    mode: str = "fast",
    proposals: int = 500,
    max_side: int = 640,
    samples: int = 32,
    positive_share: float = 0.25,
    score_threshold: float = 0.05,
    nms: float = 0.3,
    detections: int = 100,
    chunk: int = 64,
    svm_c: float = 1e-3,
    passes: int = 2,
    ridge: float = 1000.0,
    layout: int = 2,
) -> Rcnn:
    """R-CNN on a classifier's trunk.

    ``crop_size``, ``context``, ``mode``, ``proposals``, ``max_side``, ``chunk``: how proposals are made and cut.
    ``samples``, ``positive_share``: of an image in a step (the paper: 128 of all images, a quarter positive).
    ``svm_c``, ``passes``: of the SVMs and their search for hard negatives. ``ridge``: λ of the box regressors, which
    see features pooled to ``layout`` × ``layout``. ``frozen_norm``: whether batch normalisation stays as it is.
    Raises PellucidError for a value that a setting cannot have, and for a backbone without maps of features.
    """
    settings = {name: value for name, value in locals().items() if name not in ("classes", "backbone", "pretrained")}
    for name, low, high in (("context", 0, 0.49), ("positive_share", 0, 1), ("score_threshold", 0, 1), ("nms", 0, 1)):
        if not low <= settings[name] <= high:
            raise PellucidError(f"rcnn: {name}={settings[name]!r}; give a number from {low} to {high}")
    for name in ("samples", "detections", "passes", "layout"):
        if isinstance(settings[name], bool) or not isinstance(settings[name], int) or settings[name] < 1:
            raise PellucidError(f"rcnn: {name}={settings[name]!r}; give a whole number, 1 or more")
    for name in ("svm_c", "ridge"):
        if not settings[name] > 0:
            raise PellucidError(f"rcnn: {name}={settings[name]!r}; give a number above 0")
    trunk, preprocessing = make_trunk(backbone, pretrained, frozen_norm)
    return Rcnn(classes, backbone, settings, trunk, preprocessing).eval()
