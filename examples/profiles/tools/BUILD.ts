import { ccBinary } from "zako:cc";

/** Writes a header with squares. */
export const squares = ccBinary({ srcs: ["squares.c"] });
