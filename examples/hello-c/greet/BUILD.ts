import { ccLibrary } from "zako:cc";

/** A static library. Whatever depends on it may include "greet/greet.h". */
export const greet = ccLibrary({
  srcs: ["greet.c"],
  hdrs: ["greet.h"],
});
