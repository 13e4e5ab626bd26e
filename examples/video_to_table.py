"""A video to a table of who does what, and when.

    python examples/video_to_table.py walk.mp4

Needs `pip install 'orvpe[video]'` to read videos. Without a video it takes people that orvpe generates.
Files of poses work as well (anything that `orvpe ingest` reads).
"""

import sys
import tempfile
from pathlib import Path

import orvpe

MODEL = "everyday-light-2d-joint"  # comes with orvpe: 2D poses, everyday actions


def main(paths: list[str]) -> None:
    work = Path(tempfile.mkdtemp())
    if not paths:
        people = orvpe.write_generated(str(work / "people.orvpe"), count=4, dims=2, missing=0.0)
        paths = [str(people.path)]

    found = orvpe.classify(paths, MODEL, out=str(work / "answers"), overlay=False)

    print(f"{'person':<24} {'from':>6} {'to':>6}  {'action':<16} {'score':>5}")
    for person, span in found.rows():
        print(f"{person:<24} {span.start:6.1f} {span.end:6.1f}  {span.label:<16} {span.score:5.2f}")
    print("also written:", *sorted(Path(file).name for file in found.files))


if __name__ == "__main__":
    main(sys.argv[1:])

# Expected without a video (scores to rounding):
# person                     from     to  action           score
# generated_0000000           0.0    3.6  bend down         0.78
# generated_0000001           0.0    3.7  raise both arms   0.78
# generated_0000002           0.0    1.9  unsure            0.40
# generated_0000003           0.0    3.3  kick              0.91
# also written: timeline.csv timeline.json
