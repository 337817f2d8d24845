// Questions to the programs of the machine, which the engine answers and records.

import { call } from "zako:internal/host";

/** What a machine lacks, for whoever needs it; not a mistake of the script's. */
export class Lacking extends Error {}

/** The version in what a program prints: the first number with a dot in it. */
const VERSION = /\d+(?:\.\d+)+/;

function lacking(names: readonly string[], why: string, install: unknown): never {
  const advice = install === undefined ? "" : `; install it: ${install}`;
  throw new Lacking(`${names.map((name) => `\`${name}\``).join(" or ")} ${why}${advice}`);
}

export function run(program: string, args: readonly string[], reads: readonly string[] = []): string {
  const { status, stdout, stderr, error } = call("probe", { argv: [program, ...args], reads });
  const command = [program, ...args].join(" ");
  if (error !== undefined) throw new Lacking(`\`${command}\` cannot be run: ${error}`);
  if (status !== 0) throw new Lacking(`\`${command}\` failed (${status}): ${`${stderr || stdout}`.trim()}`);
  return `${stdout}`.trimEnd();
}

export function versionOf(program: string, args: readonly string[] = ["--version"]): string {
  const printed = run(program, args);
  const found = VERSION.exec(printed);
  if (found === null) throw new Lacking(`\`${[program, ...args].join(" ")}\` prints no version: ${JSON.stringify(printed.slice(0, 200))}`);
  return found[0];
}

const OPTIONS = ["version", "versionArgs", "install"];

export function find(name: unknown, options: any = {}): string {
  const names: readonly string[] = Array.isArray(name) ? name : [name];
  if (names.length === 0 || names.some((n) => typeof n !== "string" || n === "")) throw new TypeError("find takes the name of a program");
  for (const key of Object.keys(options)) {
    if (!OPTIONS.includes(key)) throw new TypeError(`find has no option "${key}"; it has ${OPTIONS.join(", ")}`);
  }
  const { version, versionArgs, install } = options;
  let wrong = "";
  for (const each of names) {
    const { path } = call("find", { name: each });
    if (path === null) continue;
    if (version === undefined) return path;
    const has = versionOf(path, versionArgs);
    if (call("versionIs", { version: has, wanted: version })) return path;
    wrong ||= `is ${has} at ${path}, and ${version} is needed`;
  }
  return lacking(names, wrong || `is not on this machine (looked in ${call("searchPath", {})})`, install);
}

/** The same for packages: what is missing is an error of whoever asks. */
export const findProgram = (names: readonly string[], options: { install?: string }): string => find(names, options);

/** What a program prints; when it fails, `lacking` says what that means. */
export function ask(program: string, args: readonly string[], options: { reads?: readonly string[]; lacking?: string } = {}): string {
  try {
    return run(program, args, options.reads);
  } catch (error) {
    if (options.lacking === undefined || !(error instanceof Lacking)) throw error;
    throw new Error(`${options.lacking}: ${error.message}`);
  }
}

/** Refuses a version that is not one of those `wanted`. */
ask.version = (version: string, wanted: string, what: string): void => {
  const numbers = VERSION.exec(version)?.[0] ?? version;
  if (!call("versionIs", { version: numbers, wanted })) throw new Error(`${what} is ${version}, and ${wanted} is needed`);
};
