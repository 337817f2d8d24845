// Resolves toolchains: finds their tools on the machine, by questions that the engine answers and records.

import { encode } from "zako:internal/encode";
import { call } from "zako:internal/host";
import { artifactState, isArtifact, newTool } from "zako:internal/target";

interface Definition {
  type: { toolchain: string };
  resolve(host: unknown): unknown;
}

const { freeze } = Object;
const definitions = new WeakMap<object, Definition>();

/** Makes the handle of a toolchain. */
export function define(definition: Definition): object {
  const handle = freeze({});
  definitions.set(handle, definition);
  return handle;
}

/** What a machine lacks, for whoever needs it; not a mistake of the script's. */
class Lacking extends Error {}

/** The version in what a program prints: the first number with a dot in it. */
const VERSION = /\d+(?:\.\d+)+/;

function lacking(names: readonly string[], why: string, install: unknown): never {
  const advice = install === undefined ? "" : `; install it: ${install}`;
  throw new Lacking(`${names.map((name) => `\`${name}\``).join(" or ")} ${why}${advice}`);
}

function tool(value: unknown, what: string): string {
  if (isArtifact(value)) {
    const state = artifactState(value);
    if ("path" in state && state.tool) return state.path;
  }
  throw new TypeError(`${what} takes a program that find gave`);
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

const OPTIONS = ["version", "versionArgs", "install"];

function find(name: unknown, options: any = {}): object {
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
    if (version === undefined) return newTool(path);
    const has = versionOf(path, versionArgs);
    if (call("versionIs", { version: has, wanted: version })) return newTool(path);
    wrong ||= `is ${has} at ${path}, and ${version} is needed`;
  }
  return lacking(names, wrong || `is not on this machine (looked in ${call("searchPath", {})})`, install);
}

function attempt<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch (error) {
    if (error instanceof Lacking) return undefined;
    throw error;
  }
}

/** Resolves the toolchains of the type `wanted` among a module's exports. */
export function resolve(namespace: Record<string, unknown>, wanted: string): void {
  const { os, arch } = call("machine", {});
  const host = freeze({
    os,
    arch,
    find: (name: unknown, options?: unknown) => find(name, options),
    findOptional: (name: unknown, options?: unknown) => attempt(() => find(name, options)),
    version: (program: unknown, args?: readonly string[]) => versionOf(tool(program, "version"), args),
    run: (program: unknown, args: readonly string[], options: { reads?: readonly string[] } = {}) =>
      run(tool(program, "run"), args, options.reads),
    option: (name: string, fallback: string) => call("config", { name }) ?? fallback,
  });
  for (const name of Object.keys(namespace)) {
    const value = namespace[name];
    const definition = typeof value === "object" && value !== null ? definitions.get(value) : undefined;
    if (definition === undefined || definition.type.toolchain !== wanted) continue;
    let answer: Record<string, unknown>;
    try {
      answer = { value: encode(definition.resolve(host), `the toolchain ${name}`) };
    } catch (error) {
      if (!(error instanceof Lacking)) throw error;
      answer = { lacking: error.message };
    }
    call("toolchain", { export: name, ...answer });
  }
}
