"""Files that hold poses but are not read here, and what makes of them something that is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

_BLENDER = "import it in Blender and export BVH"
_ASF = "amc2bvh or Blender makes BVH of it together with its .asf"
_OFFLINE = "run Azure Kinect's offline_processor on it, which writes JSON"
UNREAD: dict[str, tuple[str, str]] = {
    ".fbx": ("FBX", _BLENDER),
    ".glb": ("glTF", _BLENDER),
    ".gltf": ("glTF", _BLENDER),
    ".vrm": ("VRM", _BLENDER),
    ".vmd": ("MikuMikuDance", "Blender with mmd_tools makes BVH of it"),
    ".usd": ("USD", _BLENDER),
    ".usda": ("USD", _BLENDER),
    ".usdz": ("USD", _BLENDER),
    ".blend": ("Blender", "export BVH in Blender"),
    ".amc": ("Acclaim motion", _ASF),
    ".asf": ("Acclaim skeleton", _ASF),
    ".mvnx": ("Xsens", "export BVH or C3D in MVN Analyze"),
    ".mvn": ("Xsens", "export BVH or C3D in MVN Analyze"),
    ".tak": ("Motive", "export BVH or C3D in Motive"),
    ".mcp": ("Vicon Shogun", "export BVH or C3D in Shogun"),
    ".svo": ("ZED", "ZED's body tracking samples export JSON or BVH of it"),
    ".svo2": ("ZED", "ZED's body tracking samples export JSON or BVH of it"),
    ".xef": ("Kinect Studio", "play it into a body tracker that writes joints"),
    ".k4a": ("Azure Kinect", _OFFLINE),
    ".mot": ("OpenSim angles", "give the .trc of its joints or markers"),
    ".sto": ("OpenSim angles", "give the .trc of its joints or markers"),
    ".osim": ("OpenSim model", "give the .trc of its joints or markers"),
    ".nwb": ("NWB", "SLEAP, DeepLabCut or movement make CSV of it"),
    ".task": ("MediaPipe model", "orvpe pose makes poses of videos with it"),
}


def how_to_convert(names: Iterable[str]) -> str | None:
    """'FBX is not read; import it in Blender ...' for the first such file; None where there is none."""
    for name in names:
        known = UNREAD.get(PurePosixPath(name).suffix.lower())
        if known:
            return f"{name}: {known[0]} is not read; {known[1]}"
    return None
