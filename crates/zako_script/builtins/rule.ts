import { callAt, call } from "zako:internal/host";
import { encode } from "zako:internal/encode";
import { remember } from "zako:internal/identity";
import { isArtifact, isTarget, newArtifact, newTarget, targetState } from "zako:internal/target";

/** A type that exists only for the compiler; made by {@link type}. */
export interface Type<T> {
  /** @ignore For type inference only; not there at run time. */
  readonly "~t": T;
}

/** The type `T` as a value, for what needs to be told one: `provider("GoInfo", type<{ pkg: string }>())`. */
export function type<T>(): Type<T> {
  return Object.freeze({}) as Type<T>;
}

/** Data that a rule gives to the targets that depend on it. Its identity is its id. */
export interface Provider<N extends string, T> extends Type<T> {
  /** The id, unique in the workspace. */
  readonly id: N;
}

/**
 * A provider: a named kind of data that rules give and take.
 *
 * ```ts
 * export const GoInfo = provider("GoInfo", type<{ importPath: string }>());
 * ```
 */
export function provider<N extends string, T>(id: N, t: Type<T>): Provider<N, T> {
  if (typeof id !== "string" || id === "") throw new TypeError("provider takes an id, as \"GoInfo\"");
  return Object.freeze({ ...t, id });
}

/** Any provider. */
export type Token = Provider<string, any>;
/** What a target with the providers `Q` is known to have. */
export type Has<Q extends Token> = { readonly [P in Q as P["id"]]: P["~t"] };

/** A file or directory that is there when an action runs: a source, or what another action writes. */
export interface Artifact {
  /**
   * Its path relative to the input root, as commands see it: `app/main.c`, `zako-out/gen/v.h`.
   * Known in `analyze` only; elsewhere use the artifact itself.
   */
  readonly path: string;
}

/** A target: what a rule or `task` declares. Exporting it from a `BUILD.ts` gives it its name. */
export interface Target<P = {}, O extends string = never> {
  /** @ignore For type inference only; not there at run time. */
  readonly "~p": P;
  /** Its named outputs. */
  readonly out: Readonly<Record<O, Artifact>>;
}

/** What a rule sees of a target that it depends on. */
export interface Dep<P> {
  /** The target's label, as `//lib:greet`. */
  readonly label: string;
  /** What the target builds by default. */
  readonly files: readonly Artifact[];
  /** The target's data for the provider `p`, which the attribute requires. */
  get<N extends keyof P & string, T>(p: Provider<N, T>): T;
  /** The target's data for the provider `p`, if it has any. */
  find<T>(p: Provider<string, T>): T | undefined;
}

/** An attribute of a rule: what the caller writes (`I`) and what `analyze` sees (`V`). */
export interface Attr<I, V, Opt extends boolean = false> {
  /** @ignore For type inference only; not there at run time. */
  readonly "~in": I;
  /** @ignore For type inference only; not there at run time. */
  readonly "~out": V;
  /** @ignore For type inference only; not there at run time. */
  readonly "~opt": Opt;
  /** The same attribute, which may be left out. */
  optional(): Attr<I, V | undefined, true>;
  /** The same attribute, which is `v` when left out. */
  default(v: I): Attr<I, V, true>;
}

/** How a file is named: a path below the package, an artifact, or a target (all that it builds by default). */
export type File = string | Artifact | Target<any, any>;

/** An attribute that takes a target with the given providers. */
export type TargetAttr = <R extends Token[]>(...p: R) => Attr<Target<Has<R[number]>, any>, Dep<Has<R[number]>>>;

/** The kinds of attribute. */
export interface AttrKinds {
  /** A string. */
  string(): Attr<string, string>;
  /** `true` or `false`. */
  bool(): Attr<boolean, boolean>;
  /** A whole number. */
  int(): Attr<number, number>;
  /** One of the given strings. */
  enum<E extends string>(...e: E[]): Attr<E, E>;
  /** One file. */
  file(): Attr<File, Artifact>;
  /** Files. */
  files(): Attr<readonly File[], readonly Artifact[]>;
  /** A target, with the given providers. */
  target: TargetAttr;
  /** A target that runs during the build (a tool), with the given providers. */
  exec: TargetAttr;
  /** A list of another kind. */
  list<I, V>(a: Attr<I, V>): Attr<readonly I[], readonly V[]>;
  /** An object whose values are of another kind. */
  dict<I, V>(a: Attr<I, V>): Attr<Readonly<Record<string, I>>, Readonly<Record<string, V>>>;
}

interface Schema {
  kind: string;
  of?: Schema;
  values?: readonly string[];
  providers?: readonly string[];
  opt: boolean;
  fallback?: unknown;
}

const schema = (fields: Omit<Schema, "opt">): any => {
  const make = (s: Schema): any =>
    Object.freeze({
      ...s,
      optional: () => make({ ...s, opt: true }),
      default: (fallback: unknown) => make({ ...s, opt: true, fallback }),
    });
  return make({ ...fields, opt: false });
};

const targetAttr = (kind: string): TargetAttr => (...providers) =>
  schema({ kind, providers: providers.map((p) => p.id) });

/** Makes the attributes of a rule: `attr.files()`, `attr.list(attr.string()).default([])`. */
export const attr: AttrKinds = Object.freeze({
  string: () => schema({ kind: "string" }),
  bool: () => schema({ kind: "bool" }),
  int: () => schema({ kind: "int" }),
  enum: (...values: string[]) => schema({ kind: "enum", values: Object.freeze(values) }),
  file: () => schema({ kind: "file" }),
  files: () => schema({ kind: "files" }),
  target: targetAttr("target"),
  exec: targetAttr("exec"),
  list: (of: any) => schema({ kind: "list", of }),
  dict: (of: any) => schema({ kind: "dict", of }),
});

type Only<A, O> = Pick<A, { [K in keyof A]: A[K] extends { "~opt": O } ? K : never }[keyof A]>;
type In<A> = { [K in keyof A]: A[K] extends { "~in": infer I } ? I : never };
/** What the caller of a rule with the attributes `A` writes. */
export type Props<A> = In<Only<A, false>> & Partial<In<Only<A, true>>>;
/** What the caller of any rule may write besides. */
export interface CommonProps {
  /** Words to select it by; `manual` keeps it out of patterns. */
  tags?: readonly string[];
}
/** What `analyze` of a rule with the attributes `A` sees. */
export type Vals<A> = { readonly [K in keyof A]: A[K] extends { "~out": infer V } ? V : never };

/** An item of an action's command line. */
export type Arg = string | Artifact;

/** An action: one command that reads inputs and writes outputs. */
export interface RunSpec {
  /** The command: the program (a name looked up on `/usr/local/bin:/usr/bin:/bin`, or an artifact), then its arguments. */
  args: readonly Arg[];
  /** What it reads, besides the artifacts among `args`. */
  inputs?: readonly Artifact[];
  /** What it may read; with a `depfile`, only what the depfile names counts. */
  staged?: readonly Artifact[];
  /** What it writes. */
  outputs: readonly Artifact[];
  /** The Makefile-style dependency file that it writes (`-MD -MF`); not an output. */
  depfile?: Artifact;
  /** Its environment, besides the constant PATH, HOME, LANG, TZ and TMPDIR. */
  env?: Readonly<Record<string, string>>;
  /** A short word for what it does, as `compile`. */
  mnemonic?: string;
  /** The line that people see while it runs. */
  message?: string;
  /** Whether it is a test: run by `zako test`, not by `zako build`. */
  test?: boolean;
}

/** A kind of toolchain: what rules ask for by it, and what a toolchain of that kind is. */
export interface ToolchainType<T> extends Type<T> {
  /** The id, unique in the workspace. */
  readonly toolchain: string;
}

/**
 * A kind of toolchain, as `CcToolchain`. Rules ask for one of that kind (`toolchains: { cc: CcToolchain }`), and a
 * `*.toolchain.ts` file gives one.
 *
 * ```ts
 * export const GoToolchain = toolchainType("go", type<{ go: Artifact; version: string }>());
 * ```
 */
export function toolchainType<T>(id: string, t: Type<T>): ToolchainType<T> {
  if (typeof id !== "string" || id === "") throw new TypeError("toolchainType takes an id, as \"go\"");
  return Object.freeze({ ...t, toolchain: id });
}

/** What `analyze` of a rule with the toolchains `T` sees of them. */
export type Tools<T> = { readonly [K in keyof T]: T[K] extends Type<infer X> ? X : never };

/** What `analyze` is given. */
export interface Ctx<A, T, O> {
  /** The target's label, as `//lib:greet`. */
  readonly label: string;
  /** The target's name within its package. */
  readonly name: string;
  /** The package's path, empty for the workspace's root. */
  readonly package: string;
  /** The attributes. */
  readonly attrs: Vals<A>;
  /** What the rule's toolchains give. */
  readonly tools: Tools<T>;
  /** A file that an action of this target writes, below the package's output folder. */
  file(name: string): Artifact;
  /** A directory that an action of this target writes. */
  dir(name: string): Artifact;
  /** Declares an action. It runs when something that it writes is needed; one without outputs is a check. */
  run(action: RunSpec): void;
  /** Declares an action that writes `text` to `artifact`. */
  write(artifact: Artifact, text: string): void;
  /** Makes an artifact the target's named output, or (with a list) what it builds by default. */
  expose(name: O | "default", artifact: Artifact | readonly Artifact[]): void;
}

/** What a rule is made of. */
export interface RuleDefinition<A, V extends Record<string, Token>, T extends Record<string, ToolchainType<any>>, O extends string> {
  /** Its attributes. */
  attrs: A;
  /** The providers that `analyze` returns, under the names that it returns them by. */
  provides: V;
  /** The toolchains that it uses, under the names that `ctx.tools` has them by. */
  toolchains?: T;
  /** The names of its named outputs. */
  outputs?: readonly O[];
  /** Turns attributes into actions and provider data. Runs apart from packages: it sees `ctx` and what its file imports, and reads neither files nor options. */
  analyze(ctx: Ctx<A, T, O>): { readonly [K in keyof V]: V[K]["~t"] };
}

/**
 * A rule: a function that declares targets. Export it from a `*.rule.ts` or library file.
 *
 * ```ts
 * export const concat = rule({
 *   attrs: { srcs: attr.files() },
 *   provides: {},
 *   analyze(ctx) {
 *     const out = ctx.file(`${ctx.name}.txt`);
 *     ctx.run({ args: ["sh", "-c", "cat \"$@\" > \"$0\"", out, ...ctx.attrs.srcs], outputs: [out] });
 *     ctx.expose("default", out);
 *     return {};
 *   },
 * });
 * ```
 */
export function rule<A extends Record<string, Attr<any, any, boolean>>, V extends Record<string, Token>, T extends Record<string, ToolchainType<any>> = {}, O extends string = never>(
  definition: RuleDefinition<A, V, T, O>,
): (props: Props<A> & CommonProps) => Target<Has<V[keyof V]>, O> {
  const fn = (props: Props<A> & CommonProps): any => {
    const { identity } = record;
    if (identity === undefined) {
      throw new TypeError("this rule has no name: export it from the module that makes it");
    }
    const attrs = check(identity.export, definition.attrs as any, props as any);
    const provides = Object.keys(definition.provides).map((key) => definition.provides[key].id);
    const shape = { rule: `${identity.module}#${identity.export}`, provides, outputs: definition.outputs ?? [] };
    return newTarget(callAt("declare", { rule: identity, attrs, shape, toolchains }), shape);
  };
  const toolchains = Object.entries(definition.toolchains ?? {}).map(([name, { toolchain }]) => [name, toolchain]);
  const record = remember(fn, definition as any);
  return Object.freeze(fn);
}

const common: Record<string, Schema> = {
  tags: { kind: "list", of: { kind: "string", opt: false }, opt: true },
};

function check(rule: string, own: Record<string, Schema>, props: Record<string, unknown>): Record<string, unknown> {
  if (typeof props !== "object" || props === null) throw new TypeError(`${rule} takes an object of attributes`);
  const schemas = { ...common, ...own };
  for (const key of Object.keys(props)) {
    if (!Object.hasOwn(schemas, key)) {
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
      attrs[key] = encode(convert(`attribute "${key}" of ${rule}`, s, value));
    }
  }
  return attrs;
}

function convert(where: string, s: Schema, value: any): unknown {
  const wrong = (wanted: string): never => {
    throw new TypeError(`${where} takes ${wanted}, not ${describe(value)}`);
  };
  switch (s.kind) {
    case "string":
      return typeof value === "string" ? value : wrong("a string");
    case "bool":
      return typeof value === "boolean" ? value : wrong("true or false");
    case "int":
      return Number.isSafeInteger(value) ? value : wrong("a whole number");
    case "enum":
      return s.values?.includes(value) ? value : wrong(`one of ${s.values?.map((v) => JSON.stringify(v)).join(", ")}`);
    case "file":
      return file(where, value);
    case "files":
      return Array.isArray(value) ? value.flat(Infinity).map((v, i) => file(`${where}[${i}]`, v)) : wrong("a list of files");
    case "target":
    case "exec": {
      if (!isTarget(value)) return wrong("a target");
      const { shape } = targetState(value);
      // A late-bound label has no shape; what it provides is checked at analysis.
      const missing = shape.rule === "" ? [] : (s.providers ?? []).filter((id) => !shape.provides.includes(id));
      if (missing.length > 0) return wrong(`a target that provides ${missing.join(" and ")}`);
      return value;
    }
    case "list":
      return Array.isArray(value) ? value.map((v, i) => convert(`${where}[${i}]`, s.of as Schema, v)) : wrong("a list");
    case "dict": {
      if (typeof value !== "object" || value === null || Array.isArray(value) || isTarget(value)) return wrong("an object");
      const out: Record<string, unknown> = {};
      for (const [k, v] of Object.entries(value)) out[k] = convert(`${where}.${k}`, s.of as Schema, v);
      return out;
    }
  }
  return wrong("something else");
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (isTarget(value)) return "a target that lacks it";
  if (isArtifact(value)) return "a file";
  if (Array.isArray(value)) return "a list";
  return typeof value === "string" ? JSON.stringify(value) : typeof value === "object" ? "an object" : `${typeof value} ${String(value)}`;
}

function file(where: string, value: unknown): unknown {
  if (isTarget(value) || isArtifact(value)) return value;
  if (typeof value !== "string") throw new TypeError(`${where} takes a path, a file or a target, not ${describe(value)}`);
  return newArtifact({ path: call("source", { path: value, where }), directory: false });
}
