// The canonical encoding of what leaves and enters a realm; the engine's side is value.rs.

import { call } from "zako:internal/host";
import {
  isOption, isSelect, isSetting, newSelect, optionId, optionState, revivedOption, revivedSetting, selectState, settingData,
} from "zako:internal/option";
import {
  artifactState, depsetState, isArgs, isArtifact, isDepset, isJoined, isScript, isTarget, newArgs, newArtifact, newDepset,
  newJoined, newScript, newTarget, newTool, onList, targetState,
} from "zako:internal/target";
import type { DepsetObject } from "zako:internal/target";

const MAX_DEPTH = 64;
const MARK = "$zako";
const { freeze, getPrototypeOf, keys } = Object;
const { isArray } = Array;

/** A value that cannot leave a realm, and where in what was given it stands. */
class Refused extends TypeError {}

const special = (...parts: unknown[]) => ({ [MARK]: parts });

/** What `data` gives, which throws for an option that is not where options belong. */
function identified<T>(path: string, data: () => T): T {
  try {
    return data();
  } catch (error) {
    throw new Refused(`${path}: ${(error as Error).message}`);
  }
}

/** `value` as JSON data; throws a TypeError that names the place inside it. */
export function encode(value: unknown, path: string = "the value"): unknown {
  return enc(value, path, 0, []);
}

function enc(value: unknown, path: string, depth: number, above: object[]): unknown {
  switch (typeof value) {
    case "undefined":
      return special("undefined");
    case "boolean":
    case "string":
      return value;
    case "number":
      if (Number.isFinite(value) && !Object.is(value, -0)) return value;
      return special("number", Object.is(value, -0) ? "-0" : `${value}`);
    case "bigint":
      return special("bigint", `${value}`);
    case "symbol":
      throw new Refused(`${path} is a symbol, which cannot leave its module`);
    case "function":
      throw new Refused(`${path} is a ${/^class\b/.test(Function.prototype.toString.call(value)) ? "class" : "function"}, which cannot leave its package`);
  }
  if (value === null) return null;
  const object = value as object;
  if (isTarget(object)) {
    const { ref, shape } = targetState(object);
    return special("target", ref, shape);
  }
  if (isArtifact(object)) {
    const state = artifactState(object);
    if (!("path" in state)) return special("output", state.target, state.name);
    if (!state.tool) return special("file", state.path, state.directory);
    return state.version === undefined ? special("tool", state.path) : special("tool", state.path, state.version);
  }
  if (isScript(object)) return special("script", object.specifier);
  if (isDepset(object)) return special("depset", intern(object), depsetState(object).order);
  if (isOption(object)) {
    const { kind, name, values, default: fallback, deprecated } = optionState(object);
    return special("option", { id: identified(path, () => optionId(object)), name, kind, values, default: fallback, deprecated });
  }
  if (isSetting(object)) return special("setting", identified(path, () => settingData(object)));
  if (above.includes(object)) throw new Refused(`${path} contains itself`);
  if (depth >= MAX_DEPTH) throw new Refused(`${path} nests more than ${MAX_DEPTH} levels deep`);
  const inner = [...above, object];
  if (isSelect(object)) {
    const { option, cases } = selectState(object);
    return special("select", identified(path, () => optionId(option)), cases.map(([name, v]) => [name, enc(v, `${path} (case "${name}")`, depth + 1, inner)]));
  }
  if (isJoined(object)) return special("joined", object.parts.map((v, i) => enc(v, `${path}[${i}]`, depth + 1, inner)));
  if (isArgs(object)) return special("args", object.form, enc(object.fields, path, depth + 1, inner));
  if (isArray(object)) return Array.from(object, (v, i) => enc(v, `${path}[${i}]`, depth + 1, inner));
  const proto = getPrototypeOf(object);
  if (proto !== Object.prototype && proto !== null) {
    if (typeof (object as any).then === "function") throw new Refused(`${path} is a promise; await it first`);
    throw new Refused(`${path} is an instance of ${(object as any).constructor?.name ?? "a class"}; only plain data can leave a module`);
  }
  const out: Record<string, unknown> = {};
  for (const key of keys(object)) {
    const field = enc((object as any)[key], /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`, depth + 1, inner);
    Object.defineProperty(out, key, { value: field, enumerable: true, configurable: true, writable: true });
  }
  return keys(out).length === 1 && MARK in out ? special("object", out) : out;
}

/** Which analysis this is: a set is handed to the engine once for each that uses it. */
let analysis = 0;

/** Another target is analysed from now on. */
export function nextAnalysis(): void {
  analysis += 1;
}

/** Hands a set and those in it to the engine, without a stack as deep as they are; how the engine calls it. */
function intern(set: DepsetObject): string {
  const isKnown = (d: DepsetObject) => {
    const state = depsetState(d);
    return state.id !== undefined && (state.analysis === undefined || state.analysis === analysis);
  };
  const open: DepsetObject[] = [set];
  while (open.length > 0) {
    const last = open[open.length - 1] as DepsetObject;
    const state = depsetState(last);
    if (isKnown(last)) {
      open.pop();
      continue;
    }
    const before = state.transitive.filter((d) => !isKnown(d));
    if (before.length > 0) {
      for (const d of before) open.push(d);
      continue;
    }
    const direct = state.direct.map((item, i) => {
      if (isDepset(item)) throw new Refused(`direct[${i}] of the depset is a depset; pass it as one of transitive`);
      return enc(item, `direct[${i}] of the depset`, 0, []);
    });
    const transitive = state.transitive.map((d) => depsetState(d).id);
    state.id = call("depset", { order: state.order, direct, transitive });
    state.analysis = analysis;
    open.pop();
  }
  return depsetState(set).id as string;
}

onList((set) => decode(call("depsetList", { id: intern(set) })) as readonly unknown[]);

/** What `encode` made of JSON text, back as frozen data. */
export function revive(text: string): unknown {
  return decode(JSON.parse(text));
}

/** The same for JSON that is parsed already. */
export function decode(json: any): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (isArray(json)) return freeze(json.map(decode));
  const names = keys(json);
  if (names.length === 1 && names[0] === MARK) {
    const [kind, a, b] = json[MARK];
    switch (kind) {
      case "undefined": return undefined;
      case "number": return a === "-0" ? -0 : Number(a);
      case "bigint": return BigInt(a);
      case "target": return newTarget(a, b);
      case "output": return newArtifact({ target: a, name: b });
      case "file": return newArtifact({ path: a, directory: b });
      case "tool": return newTool(a, b);
      case "script": return newScript(a);
      case "joined": return newJoined(a.map(decode));
      case "args": return newArgs(a, plain(b) as Record<string, unknown>);
      case "depset": return newDepset({ id: a, order: b, direct: [], transitive: [] });
      case "option": return revivedOption(a);
      case "setting": return revivedSetting(a);
      case "select": return newSelect(a, b.map(([name, v]: [string, unknown]) => [name, decode(v)] as const));
      case "object": return plain(a);
    }
  }
  return plain(json);
}

function plain(json: Record<string, unknown>): unknown {
  const out: Record<string, unknown> = {};
  for (const key of keys(json)) {
    Object.defineProperty(out, key, { value: decode(json[key]), enumerable: true });
  }
  return freeze(out);
}

/** Hands a module's exports to the engine: what can leave, and what cannot with the reason. */
export function finish(exports: Record<string, unknown>): void {
  const good: [string, unknown][] = [];
  const bad: [string, string][] = [];
  for (const name of keys(exports)) {
    try {
      good.push([name, encode(exports[name], name === "default" ? "the default export" : name)]);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      bad.push([name, error.message]);
    }
  }
  call("finish", { exports: good, refused: bad });
}
