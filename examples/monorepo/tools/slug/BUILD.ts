import { ccBinary } from "zako:cc";

/** Turns each line that it reads into a part of a URL. */
export const slug = ccBinary({ srcs: ["slug.c"] });
