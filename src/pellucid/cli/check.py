"""``pellucid check``: what is wrong with a data set."""

from typing import Any

from pellucid.cli.common import print_json, progress_bar
from pellucid.data.checking import check_dataset
from pellucid.errors import PellucidError


def run(
    *,
    data: str,
    split: str | None,
    show: int,
    show_all: bool,
    content: bool,
    strict: bool,
    options: list[str],
    json_output: bool,
) -> None:
    """Checks, and prints what was found. Raises PellucidError if ``strict`` and there is an error."""
    given: dict[str, Any] = dict(_option(text) for text in options)
    with progress_bar() as bar:
        task = bar.add_task("images", total=None)
        report = check_dataset(
            data,
            split,
            content=content,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            **given,
        )
    if json_output:
        print_json(report.record())
    else:
        print("\n".join(report.lines(None if show_all else show)))
    errors = report.count("error")
    if strict and errors:
        named = f"{errors:,} error was" if errors == 1 else f"{errors:,} errors were"
        raise PellucidError(f"{data}: {named} found; mend the data set, or check it without --strict")


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier() or key in ("content", "near", "progress", "spec", "split"):
        raise PellucidError(f"--option {text}: write key=value, with what the format takes, such as masks=labels")
    return key, value
