import { task } from "zako:build";
import { index } from "//articles/BUILD.ts";
import { pages } from "//site/BUILD.ts";

/** The folder of pages as an archive that is the same, byte for byte, wherever it is made. */
export const archive = task({
  inputs: [pages.out.folder],
  outputs: ["site.tar"],
  shell: 'tar --create --file "$out" --directory "$in" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=a+rX,u+w .',
  message: "pack dist/site.tar",
});

/** Built only when it is asked for by name, because of its tag: `zako build //dist:sizes`. */
export const sizes = task({
  inputs: [archive],
  deps: [index.out.addresses],
  env: { ADDRESSES: "zako-out/articles/addresses.txt" },
  outputs: ["sizes.txt"],
  shell: '{ wc -l < "$ADDRESSES"; wc -c < "$in"; } | tr -d " " > "$out"',
  tags: ["manual"],
});
