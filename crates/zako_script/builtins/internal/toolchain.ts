// Resolves toolchains: finds their tools on the machine, by questions that the engine answers and records.

import { encode } from "zako:internal/encode";
import { call } from "zako:internal/host";
import { Lacking, find, run, versionOf } from "zako:internal/machine";
import { settingNeeds } from "zako:internal/option";
import type { SettingObject } from "zako:internal/option";
import { artifactState, isArtifact, newTool } from "zako:internal/target";

interface Definition {
  type: { toolchain: string };
  target?: SettingObject;
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

/** Resolves the toolchains of the type `wanted` among a module's exports. */
export function resolve(namespace: Record<string, unknown>, wanted: string): void {
  const { os, arch } = call("machine", {});
  const host = freeze({
    os,
    arch,
    find: (name: unknown, options?: unknown) => newTool(find(name, options)),
    findOptional: (name: unknown, options?: unknown) => attempt(() => newTool(find(name, options))),
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
    const target = definition.target === undefined ? [] : settingNeeds(definition.target);
    call("toolchain", { export: name, target, ...answer });
  }
}
