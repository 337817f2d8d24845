import { config, files, task } from "zako:build";
import { index } from "//articles/BUILD.ts";

const [render, template] = files("render.mjs", "template.html");

/** Node.js turns the index into a folder of pages. */
export const pages = task({
  inputs: [index.out.json, template],
  deps: [render],
  outputs: { folder: "pages/" },
  command: (a) => ["node", render, config.get("title"), a.out.folder, ...a.inputs],
  message: "render the pages",
});
