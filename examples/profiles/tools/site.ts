import { glob, readJson, task } from "zako:build";
import { builder } from "//build.config.ts";

const { title }: { readonly title: string } = readJson("site.json");

/** What is said on the page, under its title. */
export default task({
  inputs: glob("*.txt"),
  outputs: ["index.html"],
  env: { TITLE: title, BUILDER: builder.get() },
  shell: '{ echo "<h1>$TITLE</h1>"; for text in $in; do echo "<p>$(cat "$text")</p>"; done; echo "<!-- $BUILDER -->"; } > "$out"',
});
