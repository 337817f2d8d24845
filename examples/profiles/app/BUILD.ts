import { task } from "zako:build";
import { ccBinary } from "zako:cc";
import { configured, platform, select } from "zako:config";
import { checks, mode } from "//build.config.ts";
import { squares } from "//tools/BUILD.ts";

/** Made by a program of this workspace, which is built for the machine that builds, in whatever configuration this is. */
export const table = task({
  tools: [squares],
  outputs: { header: "table.h" },
  command: (a) => ["sh", "-c", '"$1" "$2" > "$0"', a.out.header, squares, select(mode, { debug: ["10"], fast: ["1000"] })],
});

export const square = ccBinary({
  srcs: ["main.c", table.out.header, select(checks, { true: ["checks.c"], false: ["no_checks.c"] })],
  copts: select(mode, { debug: ["-O0", "-g"], fast: ["-O2"] }),
  defines: [
    select(platform.os, { linux: ['SYSTEM="Linux"'], macos: ['SYSTEM="macOS"'], windows: ['SYSTEM="Windows"'] }),
    select(mode, { debug: ['MODE="debug"'], fast: ['MODE="fast"'] }),
  ],
});

/** The fast one beside the other, in every build. */
export const fast = configured(square, mode.is("fast"));

/** Both agree. */
export const same = task({
  inputs: [square, fast],
  shell: 'set -- $in; test "$("$1" 7 | head -n 1)" = "$("$2" 7 | head -n 1)"',
});
