import { check } from "zako:internal/attributes";
import type { Schema } from "zako:internal/attributes";
import { knownFields } from "zako:internal/fields";
import { callAt } from "zako:internal/host";
import { remember, rememberStep } from "zako:internal/identity";
import { joinSettings } from "zako:internal/option";
import { depsetState, isArtifact, isDepset, isTarget, newArgs, newDepset, newJoined, newTarget, targetState } from "zako:internal/target";
import type { Option, Sel, Setting, Value } from "zako:config";

export type { Sel } from "zako:config";

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
 * A provider: a named kind of data that rules give and take. It is known by its id: two that have the same are the same provider,
 * wherever they are made, and their types have to agree.
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
  /** What it needs when it runs, as its rule says with `ctx.runfiles`. */
  readonly runfiles: Depset<Artifact>;
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
  /** The same attribute, of whose use packages are warned: `instead` says what to do. */
  deprecated(instead: string): Attr<I, V, Opt>;
}

/** An attribute that takes a target. */
export interface TargetKind<I, V> extends Attr<I, V> {
  /**
   * The same attribute, whose target is built with these settings, whatever its user's configuration says. It comes before
   * `optional` and `default`.
   *
   * ```ts
   * import { mode } from "//build/mode.config.ts";
   * attr.target().transition(mode.is("fast"));
   * ```
   */
  transition(...settings: readonly Setting[]): TargetKind<I, V>;
}

/** How a file is named: a path below the package, an artifact, or a target (all that it builds by default). */
export type File = string | Artifact | Target<any, any>;

/** An attribute that takes a target with the given providers. */
export type TargetAttr = <R extends Token[]>(...p: R) => TargetKind<Target<Has<R[number]>, any>, Dep<Has<R[number]>>>;

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

const schema = (fields: Omit<Schema, "opt">): any => {
  const make = (s: Schema): any =>
    Object.freeze({
      ...s,
      optional: () => make({ ...s, opt: true }),
      default: (fallback: unknown) => make({ ...s, opt: true, fallback }),
      deprecated(instead: unknown) {
        if (typeof instead !== "string" || instead === "") throw new TypeError("deprecated of an attribute takes what to use instead, as \"use srcs\"");
        return make({ ...s, instead });
      },
      ...(s.kind === "target" || s.kind === "exec"
        ? { transition: (...settings: Setting[]) => make({ ...s, settings: [...(s.settings ?? []), joinSettings(settings, "transition")] }) }
        : {}),
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
type In<A> = { [K in keyof A]: A[K] extends { "~in": infer I } ? Sel<I> : never };
/** What the caller of a rule with the attributes `A` writes. */
export type Props<A> = In<Only<A, false>> & Partial<In<Only<A, true>>>;
/** Who may use a target: anybody, its own package alone, or the packages that these patterns name, as `//a/...` and `//b`. */
export type Visibility = "public" | "private" | readonly string[];

/** What the caller of any rule, and of `task`, may write besides. */
export interface CommonProps {
  /** Words to select it by; `manual` keeps it out of patterns. */
  tags?: readonly string[];
  /** Who may use it. Default `public`; its own package always may. */
  visibility?: Visibility;
  /** What to use instead: those in other packages who use it are warned. */
  deprecated?: string;
}

/**
 * A target by its label, with the providers that it must have: for what cannot be imported, as where two packages need each
 * other's targets. It is looked up when it is used, and has no `out`.
 *
 * ```ts
 * import { target } from "zako:build";
 * import { CcInfo, ccBinary } from "zako:cc";
 *
 * export const program = ccBinary({ srcs: ["main.c"], deps: [target("//plugins:all", CcInfo)] });
 * ```
 */
export function target<R extends Token[]>(label: string, ...providers: R): Target<Has<R[number]>> {
  const { label: ref } = callAt("label", { label });
  return newTarget(ref, { rule: "", provides: providers.map((p) => p.id), outputs: [] }) as any;
}

/**
 * The same target, to be exported under one more name.
 *
 * ```ts
 * import { alias, task } from "zako:build";
 *
 * export const version = task({ outputs: ["v.h"], shell: 'echo "#define V 1" > "$out"' });
 * export const oldVersion = alias(version);
 * ```
 */
export function alias<T extends Target<any, any>>(target: T): T {
  if (!isTarget(target)) throw new TypeError("alias takes a target");
  const { ref, shape } = targetState(target);
  return newTarget(ref, { ...shape, alias: true }) as any;
}
/** What `analyze` of a rule with the attributes `A` sees. */
export type Vals<A> = { readonly [K in keyof A]: A[K] extends { "~out": infer V } ? V : never };

/** Text joined of strings and files, made by {@link arg}. */
export interface JoinedArg {
  /** @ignore For type inference only; not there at run time. */
  readonly "~joined": true;
}

/**
 * Joins text and files into one argument of a command: `` arg`--out=${a.out.header}` ``. A target stands for what it
 * builds by default, a depset for its items with a space between them.
 */
export function arg(
  strings: TemplateStringsArray,
  ...values: readonly (string | number | Artifact | Target<any, any> | Depset<string | Artifact>)[]
): JoinedArg {
  const parts: unknown[] = [];
  strings.forEach((text, i) => {
    if (text !== "") parts.push(text);
    if (i >= values.length) return;
    const value = values[i];
    if (typeof value === "string" || typeof value === "number") parts.push(`${value}`);
    else if (isArtifact(value) || isTarget(value) || isDepset(value)) parts.push(value);
    else throw new TypeError("arg`…` joins strings, numbers and files only");
  });
  return newJoined(parts) as any;
}

/** The orders in which a {@link depset} can be listed. */
export type DepsetOrder = "default" | "postorder" | "preorder" | "topological";

/**
 * A set that shares the sets that it is made of: what a target hands on of its dependencies' data costs the same however
 * much that is. Made by {@link depset}.
 */
export interface Depset<T> {
  /** @ignore For type inference only; not there at run time. */
  readonly "~item": T;
  /** The order in which it is listed. */
  readonly order: DepsetOrder;
  /** All items, each once. It takes time in proportion to their number: hand the set itself to `ctx.run` where you can. In `analyze` only. */
  toList(): readonly T[];
}

/** What a depset is made of. */
export interface DepsetParts<T> {
  /** Its own items: plain data or files. */
  readonly direct?: readonly T[];
  /** Sets that are in it. */
  readonly transitive?: readonly Depset<T>[];
  /**
   * How it is listed. `postorder`: what the sets in it list, left to right, then its own items. `preorder`: its own items first.
   * `topological`: whatever has a set in it comes before what is in that, as linkers want libraries. `default` (the default)
   * promises no order, but is always the same.
   */
  readonly order?: DepsetOrder;
}

const ORDERS: readonly string[] = ["default", "postorder", "preorder", "topological"];

/**
 * A set of items and of other sets, for what gathers along dependencies: headers, libraries, options.
 *
 * ```ts
 * export const TextInfo = provider("TextInfo", type<{ readonly words: Depset<string> }>());
 *
 * export const words = rule({
 *   attrs: { word: attr.string(), deps: attr.list(attr.target(TextInfo)).default([]) },
 *   provides: { text: TextInfo },
 *   analyze(ctx) {
 *     const { word, deps } = ctx.attrs;
 *     const words = depset({ direct: [word], transitive: deps.map((dep) => dep.get(TextInfo).words) });
 *     const list = ctx.file(`${ctx.name}.txt`);
 *     ctx.run({ args: ["sh", "-c", 'echo "$@" > "$0"', list, words], outputs: [list] });
 *     ctx.expose("default", list);
 *     return { text: { words } };
 *   },
 * });
 * ```
 */
export function depset<T>(parts: DepsetParts<T>): Depset<T> {
  knownFields("depset", parts, ["direct", "transitive", "order"], "field");
  const { direct = [], transitive = [], order = "default" } = parts;
  if (!Array.isArray(direct)) throw new TypeError("direct of the depset takes a list");
  if (!Array.isArray(transitive)) throw new TypeError("transitive of the depset takes a list of depsets");
  if (!ORDERS.includes(order)) throw new TypeError(`a depset has the orders ${ORDERS.join(", ")}, not ${JSON.stringify(order)}`);
  transitive.forEach((set: unknown, i) => {
    if (!isDepset(set)) throw new TypeError(`transitive[${i}] of the depset is no depset`);
    const { order: other } = depsetState(set);
    if (other !== order && other !== "default" && order !== "default") {
      throw new TypeError(`a depset in the order ${order} cannot have one in the order ${other} in it`);
    }
  });
  return newDepset({ order, direct: Object.freeze([...direct]), transitive: Object.freeze([...transitive]) as any }) as any;
}

/** Arguments made out of others, by a function of {@link args}. */
export interface ArgPart {
  /** @ignore For type inference only; not there at run time. */
  readonly "~part": true;
}

/** An item of an action's command line. A depset stands for its items; one that is a list of strings, for those in a row. */
export type Arg = string | Artifact | JoinedArg | ArgPart | Depset<string | Artifact> | Depset<string> | Depset<Artifact> | Depset<readonly string[]>;

/** Many items: a list or a depset of them, or lists of those. */
export type Args = Arg | readonly Args[];

/** Options of `args.responseFile`. */
export interface ResponseFileOptions {
  /** Whether it is written for a short command, too. Default false. */
  readonly always?: boolean;
  /**
   * How the arguments stand in it, one a line: `gnu` (default) with backslashes before spaces, quotes and backslashes, as gcc, clang,
   * ar and ld read it; `lines` as they are, as rustc does.
   */
  readonly format?: "gnu" | "lines";
  /** What the argument that names the file begins with. Default `@`. */
  readonly prefix?: string;
}

/** Makes arguments out of many items; files among them are inputs, as everywhere in `args`. */
export interface ArgFunctions {
  /** `flag` before each item, as an argument of its own: `args.each("-I", ["a", "b"])` is `-I a -I b`. */
  each(flag: string, items: Args): ArgPart;
  /** `prefix` before each item, in one argument: `args.prefix("-I", ["a", "b"])` is `-Ia -Ib`. */
  prefix(prefix: string, items: Args): ArgPart;
  /** All items in one argument: `args.join(",", ["a", "b"], "--only=")` is `--only=a,b`. None gives no argument. */
  join(separator: string, items: Args, prefix?: string): ArgPart;
  /**
   * The items; in a file that the command names as `@FILE` when the command would be longer than 32,000 bytes. The file is
   * an output of its own, beside the action's first one, and an input of the action.
   *
   * ```ts
   * const archive = rule({
   *   attrs: { objects: attr.files() },
   *   provides: {},
   *   analyze(ctx) {
   *     const out = ctx.file(`${ctx.name}.a`);
   *     ctx.run({ args: ["ar", "rcsD", out, args.responseFile(ctx.attrs.objects)], outputs: [out] });
   *     ctx.expose("default", out);
   *     return {};
   *   },
   * });
   * ```
   */
  responseFile(items: Args, options?: ResponseFileOptions): ArgPart;
}

const part = (form: string, fields: Record<string, unknown>): any => {
  for (const key of ["flag", "prefix", "separator"]) {
    if (key in fields && typeof fields[key] !== "string" && fields[key] !== undefined) {
      throw new TypeError(`args.${form} takes a string as its ${key}`);
    }
  }
  return newArgs(form, fields);
};

/** Arguments made out of many items: {@link ArgFunctions}. */
export const args: ArgFunctions = Object.freeze({
  each: (flag: string, items: Args) => part("each", { flag, items }),
  prefix: (prefix: string, items: Args) => part("prefix", { prefix, items }),
  join: (separator: string, items: Args, prefix: string = "") => part("join", { separator, items, prefix }),
  responseFile(items: Args, options: ResponseFileOptions = {}) {
    knownFields("args.responseFile", options, ["always", "format", "prefix"]);
    return part("responseFile", { items, ...options });
  },
});

/** Files that an action reads: a list of files and of depsets of files, or a depset. */
export type InputFiles = Depset<Artifact> | readonly (Artifact | Depset<Artifact>)[];

/** A signal that ends a process. */
export type Signal =
  | "SIGHUP" | "SIGINT" | "SIGQUIT" | "SIGILL" | "SIGTRAP" | "SIGABRT" | "SIGBUS" | "SIGFPE" | "SIGKILL"
  | "SIGUSR1" | "SIGSEGV" | "SIGUSR2" | "SIGPIPE" | "SIGALRM" | "SIGTERM" | "SIGXCPU" | "SIGXFSZ" | "SIGSYS";

/** When an action that ended badly is tried again. */
export interface Retries {
  /** How many times at most, up to 10. */
  readonly times: number;
  /**
   * Which ends are worth another try, by default all: an exit code, a signal, `"code"` for any exit code, `"signal"` for any signal,
   * `"timeout"` for running out of time.
   */
  readonly on?: readonly (number | Signal | "code" | "signal" | "timeout")[];
  /**
   * The pause before the first retry: seconds, or as `"200ms"`, `"5s"`; 100 ms by default, and 5 minutes at most. Each further one is
   * twice as long, up to 10 seconds or this pause; of each, up to a half is left out by chance.
   */
  readonly pause?: number | string;
}

/** A process that stays and runs actions. */
export interface WorkerSpec {
  /** What it speaks: `json` is Bazel's JSON worker protocol. */
  readonly protocol: "json";
  /** Whether it works on several requests at once. At isolation `basic` it is given several only with `sandboxDir`. */
  readonly multiplex?: boolean;
  /** Whether it takes all paths of a request relative to the `sandboxDir` that the request has. */
  readonly sandboxDir?: boolean;
}

/** What every action may say of how it runs. */
export interface ActionSettings {
  /** Processors that it uses; fractions count. Default 1. */
  cpu?: number;
  /** Memory that it uses: bytes, or as `"512MiB"`, `"2GiB"`. */
  memory?: number | string;
  /** Whether it may use the network; `{ slots }` also takes that many network slots. Default false. */
  network?: boolean | { readonly slots: number };
  /** Named resources that it holds while it runs, as `{ gpu: 1 }`; `zako.toml` says how many there are. */
  resources?: Readonly<Record<string, number>>;
  /** The longest that it may run: seconds, or as `"90s"`, `"5m"`. */
  timeout?: number | string;
  /** How many times it is tried again when it fails, at most 10, or {@link Retries}: after which failures, and when. Default 0. */
  retries?: number | Retries;
  /** How far it is kept apart: `none`, `basic`, `enhanced` or `maximum`; by default as the build. */
  isolation?: "none" | "basic" | "enhanced" | "maximum";
  /** Whether its result is kept. Default true. */
  cache?: boolean;
}

/** An action: one command that reads inputs and writes outputs. */
export interface RunSpec extends ActionSettings {
  /** The command: the program (a name looked up on `/usr/local/bin:/usr/bin:/bin`, or an artifact), then its arguments. */
  args: readonly Arg[];
  /** What it reads, besides the artifacts among `args`. */
  inputs?: InputFiles;
  /** What it may read; with a `depfile`, only what the depfile names counts. */
  staged?: InputFiles;
  /** Programs that it runs, besides the first of `args`. */
  tools?: InputFiles;
  /** What it writes. */
  outputs: readonly Artifact[];
  /** The Makefile-style dependency file that it writes (`-MD -MF`); not an output. */
  depfile?: Artifact;
  /** What it reads from standard input: a file, or `{ text }`. */
  stdin?: Artifact | { readonly text: string };
  /** Its environment, besides the constant PATH, HOME, LANG, TZ and TMPDIR. */
  env?: Readonly<Record<string, string>>;
  /**
   * The protocol by which a process that stays may run it: `json` is that of Bazel's persistent workers. Words that begin with `@`
   * (a file of arguments, one a line) are of each request, all others start the worker; it must do the same as a command. One that
   * works on several requests at once is `{ protocol: "json", multiplex: true }`.
   */
  worker?: "json" | WorkerSpec;
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

/** What declares actions: `ctx` of `analyze` and of a dynamic step's `run`. */
export interface Actions {
  /** The target's label, as `//lib:greet`. */
  readonly label: string;
  /** The target's name within its package. */
  readonly name: string;
  /** The package's path, empty for the workspace's root. */
  readonly package: string;
  /** The value of an option in the configuration that the target is built in. */
  config<V extends Value>(option: Option<V>): V;
  /** A file that an action of this target writes, below the package's output folder. */
  file(name: string): Artifact;
  /** A directory that an action of this target writes. */
  dir(name: string): Artifact;
  /** Declares an action. It runs when something that it writes is needed; one without outputs is a check. */
  run(action: RunSpec): void;
  /** Declares an action that writes `text` to `artifact`; `executable` makes it a program. */
  write(artifact: Artifact, text: string, options?: { readonly executable?: boolean }): void;
  /** Declares an action that copies a file, or a directory with all that is in it, to `artifact`. */
  copy(artifact: Artifact, from: Artifact): void;
  /** Declares an action that makes `artifact` a relative link to `to`. What reads the link reads what it leads to. */
  symlink(artifact: Artifact, to: Artifact): void;
  /** Declares an action that fills a directory (`ctx.dir`) with copies: each path in it, with the file or directory that goes there. */
  tree(directory: Artifact, files: Readonly<Record<string, Artifact>>): void;
  /**
   * Declares that a dynamic step, once `reads` are built, declares the actions that write `outputs`. See {@link dynamic}.
   */
  dynamic<P>(step: Dynamic<P>, use: DynamicUse<P>): void;
}

/** A dynamic step: what {@link dynamic} gives. */
export interface Dynamic<P> {
  /** @ignore For type inference only; not there at run time. */
  readonly "~params": P;
}

/** How a target uses a dynamic step. */
export interface DynamicUse<P> {
  /** The files and directories whose contents decide. */
  readonly reads: readonly Artifact[];
  /** What the step's actions write at least: what others may name. */
  readonly outputs: readonly Artifact[];
  /** What the step is given besides: plain data and files. */
  readonly params: P;
}

/** What a dynamic step's `run` is given. */
export interface DynamicCtx<P> extends Actions {
  /** What the target gave it. */
  readonly params: P;
  /** The outputs that the target declared, all of which its actions must write. */
  readonly outputs: readonly Artifact[];
  /** The text (UTF-8) of one of `reads`, or of the file `below` one that is a directory. */
  readText(file: Artifact, below?: string): string;
  /** The JSON in such a file. */
  readJson(file: Artifact, below?: string): any;
  /** The files in one of `reads` that is a directory, and in all folders in it: sorted paths below it. */
  list(directory: Artifact): readonly string[];
}

/** What a dynamic step is made of. */
export interface DynamicDefinition<P> {
  /** The type of what it is given: `type<{ … }>()`. */
  readonly params: Type<P>;
  /** Declares actions by what it reads. Runs when that is built, and again only when that, its code or its parameters are others. */
  run(ctx: DynamicCtx<P>): void;
}

/**
 * A dynamic step: actions that are known only when something is built, as when a generator says which sources there are. Export it from
 * the file that makes it, since it runs by its name in a context of its own.
 *
 * ```ts
 * export const compileAll = dynamic({
 *   params: type<{ readonly sources: Artifact }>(),
 *   run(ctx) {
 *     const objects = ctx.list(ctx.params.sources).filter((path) => path.endsWith(".c")).map((path) => {
 *       const object = ctx.file(`${ctx.name}/${path}.o`);
 *       ctx.run({ args: ["cc", "-c", `${ctx.params.sources.path}/${path}`, "-o", object], inputs: [ctx.params.sources], outputs: [object] });
 *       return object;
 *     });
 *     ctx.run({ args: ["ar", "rcsD", ctx.outputs[0]!, ...objects], outputs: ctx.outputs });
 *   },
 * });
 *
 * export const generatedLibrary = rule({
 *   attrs: { generator: attr.file() },
 *   provides: {},
 *   analyze(ctx) {
 *     const sources = ctx.dir(`${ctx.name}.sources`);
 *     ctx.run({ args: [ctx.attrs.generator, sources], outputs: [sources] });
 *     const library = ctx.file(`lib${ctx.name}.a`);
 *     ctx.dynamic(compileAll, { reads: [sources], outputs: [library], params: { sources } });
 *     ctx.expose("default", library);
 *     return {};
 *   },
 * });
 * ```
 */
export function dynamic<P>(definition: DynamicDefinition<P>): Dynamic<P> {
  if (typeof definition !== "object" || definition === null || typeof definition.run !== "function") {
    throw new TypeError("dynamic takes an object: { params, run }");
  }
  knownFields("dynamic", definition, ["params", "run"], "field");
  const step = Object.freeze({});
  rememberStep(step, definition);
  return step as any;
}

/** What `analyze` is given. */
export interface Ctx<A, T, O> extends Actions {
  /** The attributes. */
  readonly attrs: Vals<A>;
  /** What the rule's toolchains give. */
  readonly tools: Tools<T>;
  /** Adds to what the target needs when it runs: what `zako run` and dependents' `dep.runfiles` have. */
  runfiles(...items: readonly (Artifact | Depset<Artifact> | readonly (Artifact | Depset<Artifact>)[])[]): void;
  /** The folder below which outputs of the target's configuration are: `zako-out`, or `zako-out/@NAME` for another than the base. */
  readonly outputRoot: string;
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
  if (typeof definition !== "object" || definition === null || typeof definition.analyze !== "function") {
    throw new TypeError("rule takes an object: { attrs, provides, analyze(ctx) { … } }");
  }
  knownFields("rule", definition, ["attrs", "provides", "toolchains", "outputs", "analyze"], "field");
  for (const field of ["attrs", "provides"] as const) {
    if (typeof definition[field] !== "object" || definition[field] === null) throw new TypeError(`rule needs ${field}, an object`);
  }
  const ids = new Map<string, string>();
  for (const [key, { id }] of Object.entries(definition.provides)) {
    const other = ids.get(id);
    if (other !== undefined) throw new TypeError(`provides of rule has the provider ${id} twice, as ${other} and as ${key}: providers with one id are the same`);
    ids.set(id, key);
  }
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
