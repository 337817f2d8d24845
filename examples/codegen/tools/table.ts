// A macro: a library function that declares targets for the package that calls it.
import { readText, task, type Target } from "zako:build";
import { ccLibrary, type CcTarget } from "zako:cc";
import { sha256 } from "zako:hash";
import { basename, withExtension } from "zako:path";
import generate from "./table.script.ts";

/** What {@link table} declares. */
export interface Table {
  /** The generated C. */
  readonly sources: Target<{}, "header" | "source">;
  /** It, compiled. */
  readonly library: CcTarget;
}

/** Turns a `.tsv` file of `folder`, the calling package, into a C enum with texts. */
export function table(folder: string, data: string): Table {
  const header = withExtension(data, ".h");
  const sources = task({
    inputs: [data],
    outputs: { header, source: withExtension(data, ".c") },
    script: generate,
    env: {
      NAME: basename(data, ".tsv"),
      INCLUDE: `${folder}/${header}`,
      FINGERPRINT: sha256(readText(data)).slice(0, 12),
    },
    message: `generate C from ${data}`,
  });
  return { sources, library: ccLibrary({ srcs: [sources.out.source], hdrs: [sources.out.header] }) };
}
