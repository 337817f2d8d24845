import { ccBinary } from "zako:cc";
import { greet } from "//greet/BUILD.ts";

/** The program zako-out/app/hello. */
export const hello = ccBinary({
  srcs: ["main.c"],
  deps: [greet],
});
