"""The application that commands join: its name, its help, its version."""

from typing import Annotated

import typer

# Plain help and plain tracebacks: they start in a third of the time, and a log shows them as a terminal does.
app = typer.Typer(
    name="pellucid",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Trains vision networks, opens them up and scores them: what is in a photo, how sure, and why; offline.",
    epilog="Start with: pellucid explain PHOTO.  Every command has its own --help.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from pellucid import __version__

        typer.echo(f"pellucid {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...
