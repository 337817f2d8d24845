// What stands for targets and their files inside a realm. Their state is private: a script can pass them
// on, compare and use them, but not look inside or make its own.

import { isSelect, mapSelect } from "zako:internal/option";

/** Where a target is: the nth of this package, or a label. */
export type Place = number | string;

/** A target in another configuration than its user's. */
export interface Configured {
  of: Place;
  /** Whether it runs during the build: what is below starts from the configuration of the machine that it runs on. */
  exec: boolean;
  /** Options, as `//build/options.config.ts#mode`, and the values that they are set to. */
  set: readonly (readonly [string, string])[];
}

/** Which target, and in which configuration. */
export type Ref = Place | Configured;

/** What a handle says of its target besides where it is. */
export interface Shape {
  /** `module#export` of its rule. */
  rule: string;
  /** Ids of the providers that it has. */
  provides: readonly string[];
  /** Names of its named outputs. */
  outputs: readonly string[];
  /** Whether it is one more name of a target. */
  alias?: boolean;
}

let targetState: (t: TargetObject) => { ref: Ref; shape: Shape };
let artifactState: (a: ArtifactObject) => ArtifactState;
// Asks for the private state itself: a prototype can be borrowed.
let isTarget: (v: unknown) => v is TargetObject;
let isArtifact: (v: unknown) => v is ArtifactObject;
let isScript: (v: unknown) => v is ScriptObject;
let isJoined: (v: unknown) => v is JoinedObject;
let isArgs: (v: unknown) => v is ArgsObject;
let isDepset: (v: unknown) => v is DepsetObject;

/** What an artifact is: a named output of a target, a file at a known path, or (`tool`) a program of the machine. */
export type ArtifactState =
  | { target: Ref; name: string }
  | { path: string; directory: boolean; tool?: boolean; version?: string };

const { freeze } = Object;

const refuseText = (what: string): never => {
  throw new TypeError(
    `${what} cannot be turned into a string: its path is known only when it is built. ` +
      "Use it as an item of a command by itself, or inside the arg`…` template",
  );
};

class TargetObject {
  #ref: Ref;
  #shape: Shape;
  readonly out: Readonly<Record<string, ArtifactObject>>;
  static {
    targetState = (t) => ({ ref: t.#ref, shape: t.#shape });
    isTarget = (v): v is TargetObject => typeof v === "object" && v !== null && #ref in v;
  }
  constructor(ref: Ref, shape: Shape) {
    this.#ref = ref;
    this.#shape = shape;
    const out: Record<string, ArtifactObject> = Object.create(null);
    for (const name of shape.outputs) out[name] = new ArtifactObject({ target: ref, name });
    this.out = freeze(out);
    freeze(this);
  }
  [Symbol.toPrimitive](): never {
    return refuseText("a target");
  }
  toString(): never {
    return refuseText("a target");
  }
  toJSON(): never {
    return refuseText("a target");
  }
}

class ArtifactObject {
  #state: ArtifactState;
  static {
    artifactState = (a) => a.#state;
    isArtifact = (v): v is ArtifactObject => typeof v === "object" && v !== null && #state in v;
  }
  constructor(state: ArtifactState) {
    this.#state = state;
    freeze(this);
  }
  get path(): string {
    if ("path" in this.#state) return this.#state.path;
    return refuseText("an output of a target");
  }
  [Symbol.toPrimitive](): string {
    return this.path;
  }
  toString(): string {
    return this.path;
  }
  toJSON(): string {
    return this.path;
  }
}

class ScriptObject {
  #made = true;
  readonly specifier: string;
  static {
    isScript = (v): v is ScriptObject => typeof v === "object" && v !== null && #made in v;
  }
  constructor(specifier: string) {
    this.specifier = specifier;
    freeze(this);
  }
}

class JoinedObject {
  #made = true;
  readonly parts: readonly unknown[];
  static {
    isJoined = (v): v is JoinedObject => typeof v === "object" && v !== null && #made in v;
  }
  constructor(parts: readonly unknown[]) {
    this.parts = freeze([...parts]);
    freeze(this);
  }
  toString(): never {
    return refuseText("an arg`…`");
  }
}
/** What a function of `args` was given. */
class ArgsObject {
  #made = true;
  readonly form: string;
  readonly fields: Readonly<Record<string, unknown>>;
  static {
    isArgs = (v): v is ArgsObject => typeof v === "object" && v !== null && #made in v;
  }
  constructor(form: string, fields: Readonly<Record<string, unknown>>) {
    this.form = form;
    this.fields = freeze({ ...fields });
    freeze(this);
  }
  toString(): never {
    return refuseText("a part of a command");
  }
}

/** A set: one made here, or one that the engine holds. */
export interface DepsetState {
  readonly order: string;
  readonly direct: readonly unknown[];
  readonly transitive: readonly DepsetObject[];
  /** How the engine calls it, once it does. */
  id?: string;
  /** The analysis for which it was handed to the engine; none for one that came from there. */
  analysis?: number;
}

let depsetState: (d: DepsetObject) => DepsetState;
let listDepset: (d: DepsetObject) => readonly unknown[] = () => refuseText("a depset");

class DepsetObject {
  #state: DepsetState;
  static {
    depsetState = (d) => d.#state;
    isDepset = (v): v is DepsetObject => typeof v === "object" && v !== null && #state in v;
  }
  constructor(state: DepsetState) {
    this.#state = state;
    freeze(this);
  }
  get order(): string {
    return this.#state.order;
  }
  toList(): readonly unknown[] {
    return listDepset(this);
  }
  toString(): never {
    throw new TypeError("a depset is no text; pass it to ctx.run as it is, or list it with toList()");
  }
}

/** Says how sets are listed; the encoding does. */
export const onList = (list: (d: DepsetObject) => readonly unknown[]): void => {
  listDepset = list;
};

for (const c of [TargetObject, ArtifactObject, ScriptObject, JoinedObject, ArgsObject, DepsetObject]) {
  // No way from an instance to what makes others.
  delete (c.prototype as { constructor?: unknown }).constructor;
  freeze(c.prototype);
  freeze(c);
}

export const newTarget = (ref: Ref, shape: Shape): TargetObject => new TargetObject(ref, shape);
export const newArtifact = (state: ArtifactState): ArtifactObject => new ArtifactObject(state);
/** A program of the machine; with a `version`, that is its identity, else its content. */
export const newTool = (path: string, version?: string): ArtifactObject =>
  new ArtifactObject({ path, directory: false, tool: true, ...(version === undefined ? {} : { version }) });
export const newScript = (specifier: string): ScriptObject => new ScriptObject(specifier);
export const newJoined = (parts: readonly unknown[]): JoinedObject => new JoinedObject(parts);
export const newArgs = (form: string, fields: Readonly<Record<string, unknown>>): ArgsObject => new ArgsObject(form, fields);
export const newDepset = (state: DepsetState): DepsetObject => new DepsetObject(state);

export { artifactState, depsetState, isArgs, isArtifact, isDepset, isJoined, isScript, isTarget, targetState };
export type { ArgsObject, ArtifactObject, DepsetObject, JoinedObject, ScriptObject, TargetObject };

/** The targets in `value`, in the configuration for tools (`exec`) or as it is, with these options set. */
export function inConfiguration(value: unknown, exec: boolean, set: readonly (readonly [string, string])[]): unknown {
  const change = (v: unknown): unknown => inConfiguration(v, exec, set);
  if (isTarget(value)) {
    const { ref, shape } = targetState(value);
    return newTarget(configuredRef(ref, exec, set), shape);
  }
  if (isArtifact(value)) {
    const state = artifactState(value);
    return "path" in state ? value : newArtifact({ target: configuredRef(state.target, exec, set), name: state.name });
  }
  if (isSelect(value)) return mapSelect(value, change);
  return Array.isArray(value) ? freeze(value.map(change)) : value;
}

/** What the user of a target sets, then what the target was set to before: that is nearer, so it counts. */
function configuredRef(ref: Ref, exec: boolean, set: readonly (readonly [string, string])[]): Ref {
  // A task's own outputs.
  if (ref === "") return ref;
  if (typeof ref !== "object") return freeze({ of: ref, exec, set: freeze([...set]) });
  return ref.exec ? ref : freeze({ of: ref.of, exec, set: freeze([...set, ...ref.set]) });
}
