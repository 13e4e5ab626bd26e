# %% [markdown]
# # Pre-train without labels, probe, and draw the occlusion curve
#
# On generated clips, a minute on a CPU. For results worth reporting take real data, more epochs and a larger recipe.

# %%
import tempfile
from pathlib import Path

import orvpe
from orvpe.training.recipes import from_shipped

EPOCHS = 4  # quick; the recipe has 20
PROTOCOL = "camera:v03"  # cameras 1 and 2 train, camera 3 tests
work = Path(tempfile.mkdtemp())
clips = str(orvpe.write_generated(str(work / "clips.orvpe"), count=300).path)

# %% [markdown]
# Pre-training sees each clip twice, with different parts of the body hidden. It uses no labels.

# %%
pretrained = str(work / "pretrained")
orvpe.pretrain(**from_shipped(orvpe.pretrain, "quick-pretrain", store=clips, run=pretrained, epochs=EPOCHS))

# %% [markdown]
# A linear probe on the frozen encoder says what it has learned.

# %%
probe = str(work / "probe")
orvpe.probe(clips, probe, PROTOCOL, weights=pretrained, raw=False)

# %% [markdown]
# The occlusion curve: accuracy as more joints of the test clips are hidden.

# %%
amounts = ["none", "joints:0.2", "joints:0.4", "joints:0.6", "upper", "lower"]
curve = orvpe.robustness(clips, [probe], PROTOCOL, str(work / "curve"), occlusions=amounts, raw=False)
print("written:", *sorted(path.name for path in (work / "curve").iterdir()))

# %% [markdown]
# Expected, to a few per cent:
#
EXPECTED
