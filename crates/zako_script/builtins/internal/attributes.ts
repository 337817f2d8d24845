// What callers give to rules: checked by the kinds of the attributes, and put into the engine's encoding.

import { logAt } from "zako:internal/console";
import { encode } from "zako:internal/encode";
import { call } from "zako:internal/host";
import { isSelect, joinSettings, mapSelect, settingData } from "zako:internal/option";
import { inConfiguration, isArgs, isArtifact, isDepset, isTarget, newArtifact, newTarget, targetState } from "zako:internal/target";
import type { Setting } from "zako:config";

/** A kind of attribute, as `attr` makes it. */
export interface Schema {
  kind: string;
  of?: Schema;
  values?: readonly string[];
  providers?: readonly string[];
  /** What is set for the target, as data. */
  settings?: readonly Setting[];
  opt: boolean;
  fallback?: unknown;
  /** What to do instead of giving it, when it is deprecated. */
  instead?: string;
}

/** The deprecated attributes that this package was warned of. */
const warned = new Set<string>();

const text: Schema = { kind: "string", opt: true };
const words: Schema = { kind: "list", of: text, opt: true };
const common: Record<string, Schema> = { tags: words, visibility: { kind: "visibility", opt: true }, deprecated: text };

/** From the attributes to the value that is looked at, which is what an error is about. */
type Trail = (string | number | { readonly case: string } | { readonly name: string })[];

/** The attributes that `props` give to a rule, checked and in the engine's encoding. */
export function check(rule: string, own: Record<string, Schema>, props: Record<string, unknown>): Record<string, unknown> {
  if (typeof props !== "object" || props === null) throw new TypeError(`${rule} takes an object of attributes`);
  const schemas = { ...common, ...own };
  const trail: Trail = [];
  try {
    for (const key of Object.keys(props)) {
      if (!Object.hasOwn(schemas, key)) {
        // The name itself is what is wrong.
        trail.push({ name: key });
        const near = call("nearest", { word: key, words: Object.keys(schemas) });
        throw new TypeError(`${rule} has no attribute "${key}"${near ? `; did you mean "${near}"?` : `; it has ${Object.keys(schemas).join(", ")}`}`);
      }
    }
    const attrs: Record<string, unknown> = {};
    for (const [key, s] of Object.entries(schemas)) {
      const value = props[key] === undefined ? s.fallback : props[key];
      if (value === undefined) {
        if (!s.opt) throw new TypeError(`${rule} needs the attribute "${key}"`);
        if (Object.hasOwn(own, key)) attrs[key] = null;
      } else {
        if (s.instead !== undefined && props[key] !== undefined) {
          const message = `attribute "${key}" of ${rule} is deprecated: ${s.instead}`;
          if (!warned.has(message)) logAt("warn", [message]);
          warned.add(message);
        }
        trail.push(key);
        if (!Object.hasOwn(own, key) && holdsSelect(value)) {
          throw new TypeError(`"${key}" of ${rule} cannot depend on the configuration: it takes no select`);
        }
        attrs[key] = encode(convert(rule, trail, s, value), `attribute "${key}" of ${rule}`);
        trail.pop();
      }
    }
    return attrs;
  } catch (error) {
    // So that the error stands at the attribute, and not just at the call.
    const within = trail.findIndex((step) => typeof step === "object" && "case" in step);
    try {
      call("blame", { path: within < 0 ? trail : trail.slice(0, within), message: (error as Error).message });
    } catch {
      // Rules are not called here at all: then the error is told at the call.
    }
    throw error;
  }
}

const holdsSelect = (value: unknown): boolean => isSelect(value) || (Array.isArray(value) && value.some(holdsSelect));

/** The attribute as messages call it. */
const shown = (rule: string, trail: Trail): string => {
  let path = "";
  let cases = "";
  for (const step of trail) {
    if (typeof step === "object") cases += "case" in step ? ` (case "${step.case}")` : "";
    else path += typeof step === "number" ? `[${step}]` : path === "" ? step : `.${step}`;
  }
  return `attribute "${path}" of ${rule}${cases}`;
};

function convert(rule: string, trail: Trail, s: Schema, value: any): unknown {
  const wrong = (wanted: string): never => {
    throw new TypeError(`${shown(rule, trail)} takes ${wanted}, not ${describe(value)}`);
  };
  const each = (step: string | number, of: Schema, item: unknown): unknown => {
    trail.push(step);
    const converted = convert(rule, trail, of, item);
    trail.pop();
    return converted;
  };
  if (isSelect(value)) return eachCase(rule, trail, s, value);
  switch (s.kind) {
    case "string":
      return typeof value === "string" ? value : wrong("a string");
    case "bool":
      return typeof value === "boolean" ? value : wrong("true or false");
    case "int":
      return Number.isSafeInteger(value) ? value : wrong("a whole number");
    case "enum":
      return s.values?.includes(value) ? value : wrong(`one of ${s.values?.map((v) => JSON.stringify(v)).join(", ")}`);
    case "visibility":
      return typeof value === "string" || Array.isArray(value) ? value : wrong("\"public\", \"private\" or a list of packages");
    case "file":
      return file(shown(rule, trail), value);
    case "files":
      return Array.isArray(value)
        ? value.flat(Infinity).map((v, i) => each(i, isSelect(v) ? s : { kind: "file", opt: false }, v))
        : wrong("a list of files");
    case "target":
    case "exec": {
      if (!isTarget(value)) return wrong("a target");
      const { ref, shape } = targetState(value);
      const required = s.providers ?? [];
      // What a label stands for is known at analysis, and looked at there.
      const late = shape.rule === "";
      const missing = late ? [] : required.filter((id) => !shape.provides.includes(id));
      if (missing.length > 0) return wrong(`a target that provides ${missing.join(" and ")}`);
      const target = late ? newTarget(ref, { ...shape, provides: [...new Set([...shape.provides, ...required])] }) : value;
      return s.kind === "exec" || s.settings !== undefined
        ? inConfiguration(target, s.kind === "exec", settingData(joinSettings(s.settings ?? [], "transition")))
        : target;
    }
    case "list":
      // A select among the items stands for lists.
      return Array.isArray(value) ? value.map((v, i) => each(i, isSelect(v) ? s : (s.of as Schema), v)) : wrong("a list");
    case "dict": {
      if (typeof value !== "object" || value === null || Array.isArray(value) || isTarget(value) || isArtifact(value)) return wrong("an object");
      const out: Record<string, unknown> = {};
      for (const [k, v] of Object.entries(value)) out[k] = each(k, s.of as Schema, v);
      return out;
    }
  }
  return wrong("something else");
}

/** The select with each case as the attribute wants it. */
const eachCase = (rule: string, trail: Trail, s: Schema, select: any): unknown =>
  mapSelect(select, (v, name) => {
    trail.push({ case: name });
    if (v === undefined && !s.opt) throw new TypeError(`${shown(rule, trail)} needs a value`);
    const given = v === undefined ? s.fallback : v;
    const converted = given === undefined ? null : convert(rule, trail, s, given);
    trail.pop();
    return converted;
  });

function describe(value: unknown): string {
  if (value === null) return "null";
  if (isSelect(value)) return "a select";
  if (isTarget(value)) return "a target that lacks it";
  if (isArtifact(value)) return "a file";
  if (isDepset(value)) return "a depset";
  if (isArgs(value)) return "a part of a command";
  if (Array.isArray(value)) return "a list";
  return typeof value === "string" ? JSON.stringify(value) : typeof value === "object" ? "an object" : `${typeof value} ${String(value)}`;
}

function file(where: string, value: unknown): unknown {
  if (isTarget(value) || isArtifact(value)) return value;
  if (typeof value !== "string") throw new TypeError(`${where} takes a path, a file or a target, not ${describe(value)}`);
  return newArtifact({ path: call("source", { path: value, where }), directory: false });
}
