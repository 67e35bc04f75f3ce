"""``pellucid convert``: a data set in another format."""

from pathlib import Path

from rich.progress import TaskID

from pellucid.cli.common import print_json, progress_bar
from pellucid.cli.data_options import told_in_one_line
from pellucid.data.converting import Converted, convert


def run(*, source: str, target: str, split: str | None, images: str, json_output: bool) -> None:
    """Converts, and says what was written and what the new format could not hold."""
    with told_in_one_line(), progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def told(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"writing {name}", total=total)
            bar.update(tasks[name], completed=done)

        made = convert(source, target, split=split, images=images, progress=told)
    if json_output:
        print_json(_record(made))
    else:
        print("\n".join(_lines(made, images)))


def _record(made: Converted) -> dict[str, object]:
    return {
        "path": str(made.path),
        "format": made.format,
        "splits": {name: {"images": images, "objects": objects} for name, (images, objects) in made.splits.items()},
        "lost": made.lost,
    }


def _lines(made: Converted, images: str) -> list[str]:
    kept = {"copy": "images copied", "link": "images linked to where they lie", "none": "images left out"}[images]
    lines = [f"{made.path}: written as {made.format}, {kept}"]
    for name, (count, objects) in made.splits.items():
        lines.append(
            f"  {name:<12} {count:,} images, {objects:,} objects" if objects else f"  {name:<12} {count:,} images"
        )
    if made.lost:
        lines.append(f"  what {made.format} has no word for is lost:")
        lines += [f"    {what}" for what in made.lost]
    first = next(iter(made.splits))
    lines.append(f"  look at it: pellucid show {_quoted(made.path, made.format)} --split {first}")
    return lines


def _quoted(path: Path, format: str) -> str:
    text = f"{format}:{path}"
    return f"'{text}'" if any(c in text for c in " '\"$&;()") else text
