"""``pellucid faithfulness MODEL DATA``: which explanations of a model can be believed, over a data set."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from pellucid.cli.common import complain, load_any, paused, print_json, progress_bar
from pellucid.cli.evaluate_model import no_class_in_both
from pellucid.cli.explain import chosen_methods
from pellucid.cli.scoring import finite, opened
from pellucid.data import Dataset
from pellucid.errors import PellucidError
from pellucid.explain.faithfulness_table import FaithfulnessTable, faithfulness_table
from pellucid.models import PhotoModel
from pellucid.models.predicting import agreeing, renamed
from pellucid.report.faithfulness import faithfulness_lines, faithfulness_text
from pellucid.structures import Sample

OBJECT_METHODS = ("grad_cam", "odam", "saliency", "guided_backprop", "d_rise")
CLASS_METHODS = ("grad_cam", "saliency", "guided_backprop", "integrated_gradients", "rise")


def run(
    *,
    model: str,
    data: str,
    split: str | None,
    methods: list[str],
    images: int,
    objects: int,
    masks: int,
    steps: int,
    seed: int,
    checkpoint: Path | None,
    classes: Path | None,
    device: str,
    json_output: bool,
) -> None:
    """Prints the table of a model's methods; see ``tested``."""
    names, _ = chosen_methods(methods)  # what is wrong with it is said before a network is loaded
    network = load_any(model, checkpoint, classes, device)
    dataset = opened(data, split)
    if dataset.without_images:
        raise PellucidError(f"{dataset.title}: has annotations alone and no image, which the model needs")
    if not methods:
        names = list(CLASS_METHODS if network.task == "classification" else OBJECT_METHODS)
    table = tested(network, dataset, names, images=images, objects=objects, masks=masks, steps=steps, seed=seed)
    if json_output:
        print_json(finite({"model": network.name, "data": dataset.title, "seed": seed, **table.figures()}))
        return
    print(_heading(network, dataset, table))
    print(faithfulness_text(table))
    print("\n".join(faithfulness_lines(table)))


def tested(
    network: PhotoModel,
    dataset: Dataset,
    methods: Sequence[str],
    *,
    images: int,
    objects: int,
    masks: int,
    steps: int,
    seed: int,
) -> FaithfulnessTable:
    """The table of some methods on images of a data set, drawn at random.

    An image that cannot be read is told and left out; there is none to take its place.
    """
    places = agreeing(dataset.classes, network.classes)
    if network.task != "classification" and all(place is None for place in places):
        raise no_class_in_both(network, dataset)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    chosen = sorted(order[:images].tolist())
    with progress_bar() as bar:
        task = bar.add_task("", total=len(chosen))

        def samples() -> Iterator[Sample]:
            for done, index in enumerate(chosen):
                bar.update(task, completed=done)
                sample = dataset.sample(index)
                try:
                    truth = renamed(sample.annotations, network.classes, places)
                    read = Sample(sample.name, sample.read_image(), truth)
                except PellucidError as error:
                    with paused(bar):
                        complain(f"{sample.name}: left out: {error}")
                    continue
                yield read

        return faithfulness_table(
            network,
            samples(),
            methods,
            objects=objects,
            options={"rise": {"masks": masks}, "d_rise": {"masks": masks}},
            steps=steps,
            seed=seed,
            report=lambda text: bar.update(task, description=text),
        )


def _heading(model: PhotoModel, dataset: Dataset, table: FaithfulnessTable) -> str:
    what = "class" if model.task == "classification" else "object"
    plural = "" if table.objectives == 1 else "es" if what == "class" else "s"
    images = f"{table.images} image" + ("" if table.images == 1 else "s")
    return f"{model.name} on {dataset.title}: {table.objectives} {what}{plural} in {images}"
