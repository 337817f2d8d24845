"""Fails when a post does not begin with a heading, or has no text."""

import pathlib
import sys

faults = 0
for name in sys.argv[1:]:
    heading, _, body = pathlib.Path(name).read_text(encoding="utf-8").partition("\n")
    if not heading.startswith("# ") or not body.strip():
        print(f"{name}:1: a post is a heading, as `# Title`, and text below it", file=sys.stderr)
        faults += 1
sys.exit(1 if faults else 0)
