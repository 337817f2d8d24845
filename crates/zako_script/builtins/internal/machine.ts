// Questions to the programs of the machine, which the engine answers and records.

import { knownFields } from "zako:internal/fields";
import { call } from "zako:internal/host";
import { artifactState, isArtifact, newTool } from "zako:internal/target";
import type { ArtifactObject } from "zako:internal/target";

/** What a machine lacks, for whoever needs it; not a mistake of the script's. */
export class Lacking extends Error {}

/** The version in what a program prints: the first number with a dot in it. */
const VERSION = /\d+(?:\.\d+)+/;

function lacking(names: readonly string[], why: string, install: unknown): never {
  const advice = install === undefined ? "" : `; install it: ${install}`;
  throw new Lacking(`${names.map((name) => `\`${name}\``).join(" or ")} ${why}${advice}`);
}

function run(program: string, args: readonly string[], reads: readonly string[] = []): string {
  const { status, stdout, stderr, error } = call("probe", { argv: [program, ...args], reads });
  const command = [program, ...args].join(" ");
  if (error !== undefined) throw new Lacking(`\`${command}\` cannot be run: ${error}`);
  if (status !== 0) throw new Lacking(`\`${command}\` failed (${status}): ${`${stderr || stdout}`.trim()}`);
  return `${stdout}`.trimEnd();
}

function versionOf(program: string, args: readonly string[] = ["--version"]): string {
  const printed = run(program, args);
  const found = VERSION.exec(printed);
  if (found === null) throw new Lacking(`\`${[program, ...args].join(" ")}\` prints no version: ${JSON.stringify(printed.slice(0, 200))}`);
  return found[0];
}

const OPTIONS = ["version", "versionArgs", "install", "identity"];

function find(name: unknown, options: any = {}): ArtifactObject {
  const names: readonly string[] = Array.isArray(name) ? name : [name];
  if (names.length === 0 || names.some((n) => typeof n !== "string" || n === "")) throw new TypeError("find takes the name of a program");
  knownFields("find", options, OPTIONS);
  const { version, versionArgs, install, identity = "content" } = options;
  if (identity !== "content" && identity !== "version") throw new TypeError("identity of find is \"content\" or \"version\"");
  const made = (path: string, has?: string): ArtifactObject =>
    newTool(path, identity === "version" ? (has ?? versionOf(path, versionArgs)) : undefined);
  let wrong = "";
  for (const each of names) {
    const { path } = call("find", { name: each });
    if (path === null) continue;
    if (version === undefined) return made(path);
    const has = versionOf(path, versionArgs);
    if (call("versionIs", { version: has, wanted: version })) return made(path, has);
    wrong ||= `is ${has} at ${path}, and ${version} is needed`;
  }
  return lacking(names, wrong || `is not on this machine (looked in ${call("searchPath", {})})`, install);
}

function tool(value: unknown, what: string): string {
  if (isArtifact(value)) {
    const state = artifactState(value);
    if ("path" in state && state.tool) return state.path;
  }
  throw new TypeError(`${what} takes a program that find gave`);
}

function attempt<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch (error) {
    if (error instanceof Lacking) return undefined;
    throw error;
  }
}

/** What toolchains and packages may ask of the machine. */
export const questions: {
  find(name: unknown, options?: unknown): ArtifactObject;
  findOptional(name: unknown, options?: unknown): ArtifactObject | undefined;
  version(program: unknown, args?: readonly string[]): string;
  run(program: unknown, args: readonly string[], options?: { reads?: readonly string[] }): string;
  satisfies(version: string, wanted: string): boolean;
} = {
  find,
  findOptional: (name, options) => attempt(() => find(name, options)),
  version: (program, args) => versionOf(tool(program, "version"), args),
  run(program, args, options = {}) {
    knownFields("run", options, ["reads"]);
    return run(tool(program, "run"), args, options.reads);
  },
  satisfies: (version, wanted) => call("versionIs", { version: VERSION.exec(`${version}`)?.[0] ?? `${version}`, wanted }),
};
