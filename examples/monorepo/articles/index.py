"""Makes the index of all posts: title, address and text of each, newest first."""

import argparse
import json
import pathlib
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("--slug", required=True)
parser.add_argument("--json", required=True, type=pathlib.Path)
parser.add_argument("--addresses", required=True, type=pathlib.Path)
parser.add_argument("posts", nargs="+", type=pathlib.Path)
options = parser.parse_args()

posts = []
for path in sorted(options.posts, reverse=True):
    heading, _, body = path.read_text(encoding="utf-8").partition("\n")
    posts.append({"title": heading.removeprefix("# ").strip(), "date": path.stem[:10], "body": body.strip()})

titles = "".join(post["title"] + "\n" for post in posts)
slugs = subprocess.run([options.slug], input=titles, capture_output=True, check=True, text=True).stdout
for post, address in zip(posts, slugs.splitlines(), strict=True):
    post["address"] = address

options.json.write_text(json.dumps(posts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
options.addresses.write_text(slugs, encoding="utf-8")
