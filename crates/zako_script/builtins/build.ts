import type { ActionSettings, ArgPart, Artifact, CommonProps, File, JoinedArg, Target } from "zako:rule";
import { attr, rule } from "zako:rule";
import { identify } from "zako:internal/identity";
import { encode } from "zako:internal/encode";
import { knownFields } from "zako:internal/fields";
import { call, callAt } from "zako:internal/host";
import { logAt } from "zako:internal/console";
import { questions } from "zako:internal/machine";
import { isSelect, mapSelect } from "zako:internal/option";
import { inConfiguration, newArtifact, newTarget } from "zako:internal/target";
import type { Sel, Select } from "zako:config";

export { alias, arg, args, target } from "zako:rule";
export type { ActionSettings, ArgPart, Artifact, CommonProps, File, JoinedArg, Retries, Signal, Target, Visibility } from "zako:rule";

/** The handle that importing a `*.script.ts` file gives. */
export interface ScriptModule {
  /** @ignore For type inference only; not there at run time. */
  readonly "~script": true;
}

/** An item of a task's command. A target stands for all that it builds by default. */
export type CommandItem = File | JoinedArg | ArgPart | Select<readonly (File | JoinedArg | ArgPart)[]>;

/** How a task's outputs are given: a list of paths, or an object that names them. */
export type Outputs = readonly string[] | { readonly [name: string]: string };

/** The names of the outputs that can be asked for as `t.out.NAME`: none for a list. */
export type OutputNames<S extends Outputs> = S extends readonly string[] ? never : keyof S & string;

/** What a task's `command` function is given. */
export interface CommandArgs<S extends Outputs> {
  /** The inputs, in order. */
  readonly inputs: readonly (Artifact | Target<any, any> | Select<readonly File[]>)[];
  /** The outputs by name; for a list of outputs, by their paths as given. */
  readonly out: Readonly<Record<S extends readonly (infer P extends string)[] ? P : keyof S & string, Artifact>>;
}

/** What a task is made of. Give exactly one of `command`, `shell` and `script`. */
export interface TaskSpec<S extends Outputs> extends CommonProps, ActionSettings {
  /** What it reads: paths below the package, artifacts, targets. They fill `$in`. */
  inputs?: Sel<readonly File[]> | File;
  /** What it needs besides, which is there when it runs but not in `$in`. */
  deps?: Sel<readonly File[]> | File;
  /** Tools that it runs, built for the machine that runs the action; as an item of `command` such a target means the tool. */
  tools?: Sel<readonly File[]> | File;
  /**
   * What it writes, below `zako-out/PACKAGE/`: a list of paths, or an object that names them. A trailing `/`
   * means a directory. With none the task is a check: its success is cached.
   */
  outputs?: S;
  /**
   * The command: the program and its arguments. The whole items `$in`, `$out` and `$out.NAME` stand for the inputs and
   * outputs, `$$` for a dollar sign. The function form gets them typed.
   */
  command?: readonly CommandItem[] | Select<readonly CommandItem[]> | ((a: CommandArgs<S>) => readonly CommandItem[]);
  /** A script for `sh -eu -c`, with `in`, `out` and `out_NAME` in its environment. */
  shell?: Sel<string>;
  /** A `*.script.ts` module, run inside zako. */
  script?: ScriptModule;
  /** The environment, besides the constant PATH, HOME, LANG, TZ and TMPDIR. */
  env?: Readonly<Record<string, Sel<string>>>;
  /** What it reads from standard input: a file, or `{ text }`. */
  stdin?: File | { readonly text: string };
  /** The Makefile-style dependency file that it writes, a path like an output's; of `deps`, only what it lists counts. */
  depfile?: string;
  /** Where its outputs go: `out` (default) below `zako-out/`, `source` into the package's own folder. */
  place?: "out" | "source";
  /** The line that people see while it runs. */
  message?: string;
  /** Whether it is a test: run by `zako test`, not by `zako build`. */
  test?: boolean;
}

/**
 * Declares an action as a target.
 *
 * ```ts
 * export const version = task({
 *   inputs: ["version.txt"],
 *   outputs: { header: "version.h" },
 *   shell: `printf '#define VERSION "%s"\\n' "$(cat "$in")" > "$out_header"`,
 * });
 * ```
 *
 * The outputs are at `zako-out/PACKAGE/version.h`, and `version.out.header` stands for the file.
 */
export function task<const S extends Outputs = readonly []>(spec: TaskSpec<S>): Target<{}, OutputNames<S>> {
  if (typeof spec !== "object" || spec === null) throw new TypeError("task takes an object");
  const { command, outputs } = spec;
  let names: string[] = [];
  if (Array.isArray(outputs)) names = [...outputs];
  else if (typeof outputs === "object" && outputs !== null) names = Object.keys(outputs);
  for (const key of ["outputs", "tags"] as const) {
    const given: unknown = spec[key];
    if (isSelect(given) || (typeof given === "object" && given !== null && Object.values(given).some(isSelect))) {
      throw new TypeError(`"${key}" of task cannot depend on the configuration: it takes no select`);
    }
  }
  const fields: Record<string, unknown> = { ...spec };
  for (const key of ["inputs", "deps", "tools"] as const) {
    if (spec[key] === undefined || spec[key] === null) continue;
    const files = filesOf(spec[key], key);
    fields[key] = key === "tools" ? inConfiguration(files, true, []) : files;
  }
  if (typeof command === "function") {
    const out: Record<string, unknown> = Object.create(null);
    // Stand-ins: the engine knows the outputs' paths.
    for (const name of names) out[name] = newArtifact({ target: "", name });
    fields.command = command({ inputs: (fields.inputs ?? []) as any, out: Object.freeze(out) as any });
    fields.commandIsFunction = true;
  }
  const named = Array.isArray(outputs) ? [] : names;
  const shape = { rule: "zako:build#task", provides: [], outputs: named };
  const rule = { module: "zako:build", export: "task" };
  return newTarget(callAt("declare", { rule, attrs: encode(fields, "the task"), shape }), shape) as any;
}

/** Each path below the package as the file that it names, which is where commands find it; the rest as it is. */
function filesOf(value: unknown, key: string): readonly unknown[] {
  if (isSelect(value)) return [mapSelect(value, (v, name) => (v === undefined ? [] : filesOf(v, `${key} (case "${name}")`)))];
  const list = Array.isArray(value) ? value.flat(Infinity) : [value];
  return Object.freeze(
    list.map((item, i) =>
      typeof item === "string"
        ? newArtifact({ path: call("source", { path: item, where: `${key}[${i}] of the task` }), directory: false })
        : isSelect(item)
          ? filesOf(item, `${key}[${i}]`)[0]
          : item,
    ),
  );
}

/** Options of {@link glob}. */
export interface GlobOptions {
  /** Patterns of what to leave out. */
  readonly exclude?: string | readonly string[];
  /** Whether it is fine that nothing matches. */
  readonly allowEmpty?: boolean;
}

/**
 * This package's files that match, as sorted paths below the package. `*` stays within a folder, `**` crosses
 * folders, `{a,b}` and `[a-z]` work as in shells. Folders that are packages of their own, ignored folders, and hidden files
 * (unless the pattern names the dot) are left out. Nothing that matches is an error unless `allowEmpty`.
 *
 * ```ts
 * const sources = glob("src/**\/*.c", { exclude: "src/**\/*_test.c" });
 * ```
 */
export function glob(include: string | readonly string[], options: GlobOptions = {}): readonly string[] {
  const list = (v: unknown) => (v === undefined ? [] : Array.isArray(v) ? v : [v]);
  knownFields("glob", options, ["exclude", "allowEmpty"]);
  return Object.freeze(
    callAt("glob", { include: list(include), exclude: list(options.exclude), allowEmpty: options.allowEmpty === true }),
  );
}

/**
 * Files of this package as values that mean the same in every package: a path string means a file of the
 * package that uses it, an artifact means this one. Each must exist.
 */
export function files(...paths: readonly (string | readonly string[])[]): readonly Artifact[] {
  return Object.freeze(
    paths.flat(Infinity as 1).map((path) => newArtifact({ path: callAt("file", { path }), directory: false }) as Artifact),
  );
}

/**
 * A folder of this package as a value: all the files in it, however deep. When one of them is another, what reads the folder runs again.
 *
 * ```ts
 * export const count = task({ inputs: [directory("data")], outputs: ["count"], shell: 'find "$in" -type f | wc -l > "$out"' });
 * ```
 */
export function directory(path: string): Artifact {
  if (typeof path !== "string") throw new TypeError("directory takes a path below the package, as \"data\"");
  return newArtifact({ path: call("source", { path, where: "directory" }), directory: true }) as any;
}

/** What `find` wants of a program. */
export interface FindOptions {
  /** The versions that will do, as `">=12"`, `"^1.80"` or `">=3.9, <4"` (Cargo's syntax); any when left out. */
  version?: string;
  /** The arguments that make it print its version. Default `["--version"]`; the first number with a dot in it counts. */
  versionArgs?: readonly string[];
  /** How to install it, for whoever lacks it: `"apt install g++"`. */
  install?: string;
  /**
   * What an action that runs it is known by: its `content` (default), or the `version` that it says it has, for a program whose bytes differ
   * where its results do not.
   */
  identity?: "content" | "version";
}

/** What `run` wants of a program. */
export interface RunOptions {
  /** Files, absolute, that its answer depends on besides the program itself: when one changes it is asked again. */
  reads?: readonly string[];
}

/** What may be asked of the machine. Each answer is recorded, and asked for again when it may be another. */
export interface Questions {
  /**
   * The program called `name` (the first that is there of several names), found on the PATH of whoever builds, or an absolute path. One
   * that is missing or of another version is an error, in a toolchain one of whoever needs it, that says what was looked for.
   */
  find(name: string | readonly string[], options?: FindOptions): Artifact;
  /** The same, `undefined` when there is none. */
  findOptional(name: string | readonly string[], options?: FindOptions): Artifact | undefined;
  /** The version that a program found before says it has, as `"12.2.0"`. */
  version(tool: Artifact, args?: readonly string[]): string;
  /** What a program found before prints (standard output, without the white space at its end); failing is an error like that of a missing program. */
  run(tool: Artifact, args: readonly string[], options?: RunOptions): string;
  /** Whether a version is one of those wanted, as `">=1.2, <2"`. */
  satisfies(version: string, wanted: string): boolean;
}

/**
 * The machine, as a package may ask it: where a program is, and what it prints. What depends on that is better a rule's toolchain, which
 * is found once for all packages; this is for what decides which targets there are. What is missing is an error at the line that asks.
 *
 * ```ts
 * const awk = host.find(["gawk", "awk"], { install: "apt install gawk" });
 * export const sum = task({ inputs: ["numbers"], outputs: ["sum"], command: ["sh", "-c", '"$0" "{ s += \\$1 } END { print s }" "$1" > "$2"', awk, "$in", "$out"] });
 * ```
 */
export const host: Questions = Object.freeze({ ...questions }) as any;

/** What {@link runnable} is made of. */
export interface RunnableSpec extends CommonProps {
  /** The program and its arguments: text, and files and targets, which are built before it runs. What follows `--` on the command line comes after them. */
  readonly command: readonly (string | Artifact | Target<any, any>)[];
  /** What it needs besides when it runs. */
  readonly data?: readonly File[];
  /** Variables of its environment, besides those of whoever runs it. */
  readonly env?: Readonly<Record<string, string>>;
  /** The folder that it runs in, from the workspace's root: `""` for the root itself. By default that of whoever runs it. */
  readonly cwd?: string;
}

/** What every target takes. */
const COMMON = ["tags", "visibility", "deprecated"];

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const launcher = rule({
  attrs: {
    words: attr.list(attr.string()),
    parts: attr.list(attr.files()),
    data: attr.files().default([]),
    env: attr.dict(attr.string()).default({}),
    cwd: attr.string().optional(),
  },
  provides: {},
  analyze(ctx) {
    const { words, parts, data, env, cwd } = ctx.attrs;
    const out = ctx.file(ctx.name);
    const up = out.path.split("/").slice(1).map(() => "..").join("/");
    // Files are said from the root, wherever it runs.
    const command = words.map((word) => (word.startsWith("=") ? [quoted(word.slice(1))] : (parts[Number(word)] ?? []).map((file) => `"$root"/${quoted(file.path)}`)).join(" "));
    const lines = [
      "#!/bin/sh",
      `root=$(cd "$(dirname "$0")/${up}" && pwd) || exit 127`,
      ...Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`),
      ...(cwd === undefined ? [] : [`cd "$root"/${quoted(cwd)} || exit 127`]),
      `exec ${command.join(" ")} "$@"`,
    ];
    ctx.write(out, `${lines.join("\n")}\n`, { executable: true });
    ctx.runfiles(parts.flat(), data);
    ctx.expose("default", out);
    return {};
  },
});
identify("zako:build", { runnable: launcher });

/**
 * A command that `zako run` runs, after it built what the command names: a server with its data, a tool with its arguments. What is
 * built is a script that does the same.
 *
 * ```ts
 * const page = task({ outputs: ["index.html"], shell: 'echo hello > "$out"' });
 * export const show = runnable({ command: ["cat", page], env: { LANG: "C" } });
 * ```
 */
export function runnable(spec: RunnableSpec): Target {
  if (typeof spec !== "object" || spec === null || !Array.isArray(spec.command) || spec.command.length === 0) {
    throw new TypeError("runnable takes an object: { command: [program, argument, …] }");
  }
  knownFields("runnable", spec, ["command", "data", "env", "cwd", ...COMMON], "attribute");
  const { command, ...rest } = spec;
  const parts: (readonly File[])[] = [];
  const words = command.map((item) => (typeof item === "string" ? `=${item}` : `${parts.push([item]) - 1}`));
  for (const name of Object.keys(rest.env ?? {})) {
    if (!/^[A-Za-z_]\w*$/.test(name)) throw new TypeError(`env of runnable: "${name}" is no name of a variable`);
  }
  return launcher({ words, parts, ...rest } as any);
}

/** What {@link fetch} takes. */
export interface FetchSpec extends CommonProps {
  /** Where it is: `https://…`, `http://…` or `file:///…`. Redirects are followed. */
  readonly url: string;
  /**
   * What its bytes must be: `sha256-BASE64` (also `sha384`, `sha512`), as in Subresource Integrity, or `blake3-HEX`. Without it
   * what `zako.lock` has for the address counts; the first build writes that.
   */
  readonly integrity?: string;
  /** The file's name, or the directory's. By default the last part of the address, for a directory without the archive's suffix. */
  readonly name?: string;
  /**
   * Whether what is in the archive is wanted: tar, plain or compressed by gzip, xz or Zstandard, or zip. `strip` leaves out that
   * many of the first folders of each path.
   */
  readonly extract?: boolean | { readonly strip?: number };
  /** Whether the file is a program. */
  readonly executable?: boolean;
}

const fetched = rule({
  attrs: {
    url: attr.string(),
    integrity: attr.string().optional(),
    name: attr.string(),
    strip: attr.int().optional(),
    executable: attr.bool().default(false),
  },
  provides: {},
  analyze(ctx) {
    const { url, integrity, name, strip, executable } = ctx.attrs;
    const out = strip === undefined ? ctx.file(name) : ctx.dir(name);
    const work = { kind: "fetch", url, executable, ...(integrity === undefined ? {} : { integrity }), ...(strip === undefined ? {} : { strip }) };
    call("action", { action: { work: encode(work, "fetch"), outputs: [encode(out, "fetch")] } });
    ctx.expose("default", out);
    return {};
  },
});
identify("zako:build", { fetch: fetched });

/**
 * A file from elsewhere, `zako-out/PACKAGE/NAME`, or with `extract` the directory of what is in it. It is kept by its
 * content: it is fetched once, for all workspaces, and is there without a network afterwards.
 *
 * ```ts
 * export const zlib = fetch({
 *   url: "https://example.org/zlib-1.3.1.tar.gz",
 *   integrity: "sha256-mpOyt9/ax3zrpaVYpYDnRmfdfy+4u3ZUk1fnrqeUu8Y=",
 *   extract: { strip: 1 },
 * });
 * ```
 *
 * Content with another digest is an error. Without `integrity` the first build pins what it got in `zako.lock`, which people
 * commit; `--locked` makes a missing pin an error, and `--offline` whatever was not fetched before.
 */
export function fetch(spec: FetchSpec): Target {
  if (typeof spec !== "object" || spec === null) throw new TypeError("fetch takes an object: { url, integrity }");
  knownFields("fetch", spec, ["url", "integrity", "name", "extract", "executable", ...COMMON], "attribute");
  const { url, integrity, name, extract, ...rest } = spec;
  const strip = extract === true ? 0 : typeof extract === "object" && extract !== null ? (extract.strip ?? 0) : undefined;
  if (extract !== undefined && typeof extract !== "boolean" && strip === undefined) {
    throw new TypeError("extract of fetch takes true, false or { strip }");
  }
  if (typeof extract === "object") knownFields("extract of fetch", extract, ["strip"]);
  if (strip !== undefined && (!Number.isInteger(strip) || strip < 0 || strip > 64)) {
    throw new TypeError("strip of fetch is a number of folders, 0 to 64");
  }
  if (strip !== undefined && spec.executable === true) throw new TypeError("fetch takes executable for a file, not with extract");
  if (typeof url !== "string") throw new TypeError("fetch needs a url, a string");
  if (integrity !== undefined && typeof integrity !== "string") throw new TypeError("integrity of fetch is a string");
  const pin: string | null = callAt("pin", { url, integrity });
  const last = url.replace(/[?#].*$/, "").replace(/^[a-z]+:\/\/[^/]*/, "").split("/").pop() ?? "";
  const named = name ?? (strip === undefined ? last : last.replace(/\.(tar(\.(gz|xz|zst))?|tgz|txz|zip|crate)$/, ""));
  if (named === "") throw new TypeError(`"${url}" ends with no name: give fetch a name`);
  return fetched({ ...rest, url, name: named, ...(strip === undefined ? {} : { strip }), ...(pin === null ? {} : { integrity: pin }) } as any);
}

/** A target by its label, `//pkg:name` or `:name`, looked up when it is used: for what cannot be imported. It has no `out`. */
export function label(text: string): Target<any, any> {
  const { label, outputs } = callAt("label", { label: text });
  return newTarget(label, { rule: "", provides: [], outputs }) as any;
}

/** The text of a file of this package (UTF-8). */
export function readText(path: string): string {
  return callAt("readText", { path });
}

/** The JSON in a file of this package. */
export function readJson(path: string): any {
  const text: string = readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TypeError(`${path} is not JSON: ${(error as Error).message}`);
  }
}

/** What was set with `-D name=value` or in `[config]` of `zako.toml`. */
export interface Config {
  /** The value of the option `name`, or `fallback` when it is not set; without a fallback an unset option is an error. */
  get(name: string, fallback?: string): string;
  /** Whether the option `name` is set to something other than `false`, `0`, `no`, `off` or nothing. */
  flag(name: string): boolean;
}

/** The build's options. */
export const config: Config = Object.freeze({
  get(name: string, fallback?: string): string {
    const value: string | null = call("config", { name });
    if (value !== null) return value;
    if (fallback === undefined) {
      throw new TypeError(`the option "${name}" is not set; pass -D ${name}=VALUE or set it in [config] of zako.toml`);
    }
    return fallback;
  },
  flag(name: string): boolean {
    const value: string | null = call("config", { name });
    return value !== null && !["", "false", "0", "no", "off"].includes(value);
  },
});

/** Messages of a script, which become part of the build's output with the line that wrote them. */
export interface Log {
  /** Shown with `-v`. */
  debug(...values: unknown[]): void;
  /** Shown. */
  info(...values: unknown[]): void;
  /** Shown as a warning. */
  warn(...values: unknown[]): void;
  /** Shown as a warning: what should fail the build is thrown. */
  error(...values: unknown[]): void;
}

/** Writes messages. */
export const log: Log = Object.freeze({
  debug: (...values: unknown[]) => logAt("debug", values),
  info: (...values: unknown[]) => logAt("info", values),
  warn: (...values: unknown[]) => logAt("warn", values),
  error: (...values: unknown[]) => logAt("error", values),
});
