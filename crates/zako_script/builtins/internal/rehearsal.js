// What most packages do, done once while the snapshot is made, with a host that says yes to everything: V8 keeps the code of
// what has run in the snapshot, and compiles all else anew in each realm. Nothing but that may be left of it.

import "zako:internal/console";
import { glob, task } from "zako:build";
import { ccBinary, ccLibrary } from "zako:cc";
import { attr, rule } from "zako:rule";
import { finish } from "zako:internal/encode";
import { frozen, settle } from "zako:internal/settle";

const made = task({
  outputs: ["a.txt"],
  inputs: ["a.in"],
  command: ["sh", "-c", "echo a > $0", "$out"],
  env: { NAME: "a" },
});
const named = task({
  outputs: { text: "b.txt" },
  deps: [made],
  command: ({ inputs, out }) => ["cp", ...inputs, out.text],
});
const library = ccLibrary({ srcs: glob("*.c"), hdrs: ["a.h"], defines: ["A"] });
const binary = ccBinary({ srcs: ["main.c"], deps: [library], copts: ["-O2"] });
rule({ attrs: { srcs: attr.files(), deps: attr.list(attr.target()).default([]), name: attr.string().optional() }, provides: {}, analyze: () => ({}) });
console.log("rehearsed", { binary });
finish({ made, named, library, list: ["a", 1, true, null], file: named.out.text });

// A prototype that it led to would be frozen too early.
const bare = Object.create(null);
bare.name = "a";
settle("zako:rehearsal", [bare, "a"]);
frozen.seen.delete(bare);
