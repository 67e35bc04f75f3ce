"""Generated scenes: shapes on textured ground, with a truth that is exact to the pixel. Nothing is downloaded."""

from pellucid.data.scenes.dataset import SPLITS, Scenes, open_scenes
from pellucid.data.scenes.settings import PRESETS, SceneSettings

__all__ = ["PRESETS", "SPLITS", "SceneSettings", "Scenes", "open_scenes"]
