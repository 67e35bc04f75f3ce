"""What the commands on data sets share: their options, and warnings of data told in one line."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A data set: a folder or file whose format is recognised, FORMAT:PATH such as voc:PATH or coco:PATH, or "
        "generated scenes, scenes:n=12,seed=0.",
        show_default=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Which split, such as train or val; its beginning is enough.", show_default=False
    ),
]


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Within it a DataWarning comes out as one line on stderr; all other warnings as ever."""
    from pellucid.cli.common import complain
    from pellucid.data import DataWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=DataWarning)
        ordinary = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, DataWarning):
                complain(str(message))
            else:
                ordinary(message, category, *rest, **named)

        warnings.showwarning = tell
        yield
