"""``pellucid models``: which networks there are, and what their layers are called."""

from pellucid.cli.common import print_json
from pellucid.errors import PellucidError
from pellucid.explain.watching import layer_names
from pellucid.models import available, load


def run(*, pattern: str, on_disk: bool, layers: bool, json_output: bool) -> None:
    """Prints a line a network, or a line a layer."""
    if layers:
        network = load("tf_efficientnet_lite0" if pattern == "*" else pattern, pretrained=pattern == "*").network
        modules = dict(network.named_modules())
        rows = [{"layer": name, "type": type(modules[name]).__name__} for name in layer_names(network)]
        if json_output:
            print_json(rows)
        else:
            width = max(len(row["layer"]) for row in rows)
            print("\n".join(f"{row['layer']:<{width}}  {row['type']}" for row in rows))
        return
    found = [info for info in available(pattern) if info.on_disk or not on_disk]
    if not found:
        raise PellucidError(f"no network is called '{pattern}'; try a wider pattern, such as '*resnet*'")
    if json_output:
        print_json([{"name": i.name, "source": i.source, "on_disk": i.on_disk} for i in found])
        return
    width = max(len(i.name) for i in found)
    for info in found:
        print(f"{info.name:<{width}}  {info.source:<11}  {'on this machine' if info.on_disk else 'downloads'}")
