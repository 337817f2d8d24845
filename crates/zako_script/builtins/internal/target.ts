// What stands for targets and their files inside a realm. Their state is private: a script can pass them
// on, compare and use them, but not look inside or make its own.

/** Where a target is: the nth of this package, or a label. */
export type Ref = number | string;

/** What a handle says of its target besides where it is. */
export interface Shape {
  /** `module#export` of its rule. */
  rule: string;
  /** Ids of the providers that it has. */
  provides: readonly string[];
  /** Names of its named outputs. */
  outputs: readonly string[];
}

let targetState: (t: TargetObject) => { ref: Ref; shape: Shape };
let artifactState: (a: ArtifactObject) => ArtifactState;
// Asks for the private state itself: a prototype can be borrowed.
let isTarget: (v: unknown) => v is TargetObject;
let isArtifact: (v: unknown) => v is ArtifactObject;
let isScript: (v: unknown) => v is ScriptObject;
let isJoined: (v: unknown) => v is JoinedObject;

/** What an artifact is: a named output of a target, or a file at a known path. */
export type ArtifactState =
  | { target: Ref; name: string }
  | { path: string; directory: boolean };

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
for (const c of [TargetObject, ArtifactObject, ScriptObject, JoinedObject]) {
  // No way from an instance to what makes others.
  delete (c.prototype as { constructor?: unknown }).constructor;
  freeze(c.prototype);
  freeze(c);
}

export const newTarget = (ref: Ref, shape: Shape): TargetObject => new TargetObject(ref, shape);
export const newArtifact = (state: ArtifactState): ArtifactObject => new ArtifactObject(state);
export const newScript = (specifier: string): ScriptObject => new ScriptObject(specifier);
export const newJoined = (parts: readonly unknown[]): JoinedObject => new JoinedObject(parts);

export { artifactState, isArtifact, isJoined, isScript, isTarget, targetState };
export type { ArtifactObject, JoinedObject, ScriptObject, TargetObject };
