import { env, flag, option, platform } from "zako:config";

/** What the program is built for. */
export const mode = option({ values: ["debug", "fast"], default: "debug" });

/** Whether the program looks at what it is given. */
export const checks = flag({ default: true });

/** `-D platform=board` */
export const board = platform(platform.os.is("linux"), platform.arch.is("aarch64"));

/** Who builds, if the environment says so. */
export const builder = env("BUILDER", { default: "nobody in particular" });
