"""``pellucid adversarial``: a photo changed too little to see, and what the network says then."""

import math
from pathlib import Path

from PIL import Image
from torch import Tensor

from pellucid.cli.common import check_folder, load_model, print_json
from pellucid.errors import PellucidError
from pellucid.explain import adversarial, attribute, class_logit
from pellucid.explain.adversarial import attacked_size
from pellucid.explain.attribution import method_named
from pellucid.explain.attribution.explanation import plain_name
from pellucid.files import written_whole
from pellucid.report.adversarial import draw_adversarial
from pellucid.structures import Annotations, read_photo


def run(
    *,
    photo: Path,
    model: str,
    target: str | None,
    attack: str,
    norm: str,
    epsilon: float | None,
    steps: int,
    method: str,
    seed: int,
    out: Path,
    checkpoint: Path | None,
    classes: Path | None,
    device: str,
    json_output: bool,
) -> None:
    """Attacks one photo; writes the changed photo and a panel. Success or not is part of the answer, not an error."""
    chosen = method_named(method)
    if epsilon is not None and not 0 < epsilon <= 255:
        raise PellucidError(f"--epsilon {epsilon:g}: must be above 0 and at most 255")
    check_folder(out)
    whole = read_photo(photo)  # what is wrong with it is said before the network is loaded
    network = load_model(model, checkpoint, classes, device)
    radius = None if epsilon is None else epsilon / 255
    if radius is not None and norm == "l2":
        radius *= math.sqrt(3 * math.prod(attacked_size(*whole.shape[-2:])))
    made = adversarial(
        network,
        whole,
        target=target,
        method=attack,
        norm=norm,
        epsilon=radius,
        steps=steps,
        seed=seed,
    )
    size = (made.image.shape[-2], made.image.shape[-1])
    before, after = (Annotations(size, network.classes, logits) for logits in (made.before, made.after))
    first, now = before.top(3), after.top(3)
    maps = [
        attribute(network, _eight_bits(image), class_logit(top[0].name), method=chosen.name)
        for image, top in ((made.original, first), (made.image, now))
    ]
    folder = out / plain_name(photo.stem)
    picture = folder / "adversarial.png"
    with written_whole(picture) as temporary:
        Image.fromarray(_eight_bits(made.image).permute(1, 2, 0).cpu().numpy()).save(temporary)
    aim = f"towards '{network.classes[made.goal]}'" if made.goal is not None else f"away from '{first[0].name}'"
    levels = made.size * 255 / (1 if norm == "linf" else math.sqrt(made.image.numel()))
    amount = (
        f"at most {levels:.2g} of 255 grey levels"
        if norm == "linf"
        else f"{levels:.2g} of 255 grey levels on average (root mean square)"
    )
    panel = draw_adversarial(
        _eight_bits(made.original),
        _eight_bits(made.image),
        before=first,
        after=now,
        explanation_before=maps[0],
        explanation_after=maps[1],
        path=folder / "adversarial-panel.png",
        title=f"{photo.name}, {attack.upper()} {aim}",
        subtitle=f"{network.name}; each value changed by {amount}; {'fooled' if made.succeeded else 'not fooled'}",
    )
    if json_output:
        print_json(
            {
                "photo": str(photo),
                "model": network.name,
                "attack": attack,
                "norm": norm,
                "epsilon": made.epsilon,
                "perturbation": made.size,
                "target": None if made.goal is None else network.classes[made.goal],
                "succeeded": made.succeeded,
                "before": [{"class": s.name, "index": s.index, "probability": s.probability} for s in first],
                "after": [{"class": s.name, "index": s.index, "probability": s.probability} for s in now],
                "image": str(picture),
                "panel": str(panel),
            }
        )
        return
    print(
        f"{photo}: {first[0].name} {first[0].probability:.1%} → {now[0].name} {now[0].probability:.1%}, "
        f"each value changed by {amount}"
    )
    if not made.succeeded:
        print("  the network was not fooled; try a larger --epsilon or more --steps")
    print(f"  changed photo {picture}\n  panel {panel}")


def _eight_bits(image: Tensor) -> Tensor:
    return (image * 255).round().byte()
