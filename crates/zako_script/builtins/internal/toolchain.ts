// Resolves toolchains: finds their tools on the machine, by questions that the engine answers and records.

import { encode } from "zako:internal/encode";
import { knownFields } from "zako:internal/fields";
import { call } from "zako:internal/host";
import { Lacking, questions } from "zako:internal/machine";
import { settingNeeds } from "zako:internal/option";
import type { SettingObject } from "zako:internal/option";

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

/** Something must be fetched first: the engine does that, and asks again. */
class Awaited extends Error {}

/** What was fetched, on the machine. */
function fetched(spec: any): object {
  if (typeof spec !== "object" || spec === null) throw new TypeError("fetched takes an object: { url, integrity }");
  knownFields("fetched", spec, ["url", "integrity", "strip", "extract"], "field");
  const { url, integrity: given, strip = 0, extract = true } = spec;
  if (typeof url !== "string") throw new TypeError("fetched needs a url, a string");
  if (given !== undefined && typeof given !== "string") throw new TypeError("integrity of fetched is a string");
  const integrity: string | null = given ?? call("pinned", { url });
  if (integrity === null) {
    throw new Lacking(
      `fetched needs the integrity of ${url}, as "sha256-…", there or in zako.lock: what tools are is not left to a server; a fetch of that address in a BUILD.ts pins it`,
    );
  }
  if (!Number.isInteger(strip) || strip < 0 || strip > 64) throw new TypeError("strip of fetched is a number of folders, 0 to 64");
  const { folder, error } = call("fetched", { url, integrity, strip: extract === false ? null : strip });
  if (error !== undefined) throw new Lacking(error);
  if (folder === undefined) throw new Awaited(`${url} is fetched first`);
  return freeze({
    path: folder,
    file(path: unknown, options: any = {}) {
      if (typeof path !== "string" || path.startsWith("/") || path.split("/").some((part) => part === "" || part === "." || part === "..")) {
        throw new TypeError(`file takes the path of a program in ${url}, as "bin/tool"`);
      }
      const tool = questions.findOptional(`${folder}/${path}`, options);
      if (tool === undefined) throw new Lacking(`there is no program ${path} in ${url} that will do`);
      return tool;
    },
  });
}

/** Resolves the toolchains of the type `wanted` among a module's exports. */
export function resolve(namespace: Record<string, unknown>, wanted: string): void {
  const { os, arch } = call("machine", {});
  const host = freeze({
    os,
    arch,
    ...questions,
    fetched,
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
      if (error instanceof Awaited) continue;
      if (!(error instanceof Lacking)) throw error;
      answer = { lacking: error.message };
    }
    const target = definition.target === undefined ? [] : settingNeeds(definition.target);
    call("toolchain", { export: name, target, ...answer });
  }
}
