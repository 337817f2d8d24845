import { arg, files, glob, task } from "zako:build";
import { slug } from "//tools/slug/BUILD.ts";

const posts = glob("posts/*.md");
const [indexer, checker] = files("index.py", "check.py");

/** Python reads all posts, and asks the C program for their addresses. */
export const index = task({
  inputs: posts,
  deps: [indexer],
  tools: [slug],
  outputs: { json: "index.json", addresses: "addresses.txt" },
  command: (a) => [
    "python3", indexer,
    arg`--slug=${slug}`,
    arg`--json=${a.out.json}`,
    arg`--addresses=${a.out.addresses}`,
    ...a.inputs,
  ],
  message: `index ${posts.length} posts`,
});

/** A check has no outputs; that it passed is remembered. */
export const check = task({
  inputs: posts,
  deps: [checker],
  command: ["python3", checker, "$in"],
  tags: ["lint"],
});
