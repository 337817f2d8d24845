import { ccBinary } from "zako:cc";
import { status } from "//codes/BUILD.ts";

/** Written by hand, and includes the generated header. */
export const explain = ccBinary({
  srcs: ["explain.c"],
  deps: [status.library],
});
