import { ccTest } from "zako:cc";
import { greet } from "//greet/BUILD.ts";

/** `zako build` builds it, `zako test` also runs it; it passes when it exits with 0. */
export const greet_test = ccTest({
  srcs: ["greet_test.c"],
  deps: [greet],
});
