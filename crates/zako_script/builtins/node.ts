import { arg, directory, files, host, readJson, task } from "zako:build";
import { knownFields } from "zako:internal/fields";
import { basename, dirname } from "zako:path";
import type { Artifact, File, OutputNames, Outputs, Target } from "zako:build";

/** What {@link npmScript} takes. */
export interface NpmScriptProps<S extends Outputs> {
  /** What the script reads, besides the package's `package.json`: sources, settings. */
  inputs?: readonly File[];
  /** What it needs besides: what other packages' scripts wrote, installed packages (`node_modules`). */
  deps?: readonly File[];
  /** What it writes, at the package's own path, as `["dist/"]`; with none it is a check. */
  outputs?: S;
  /** More arguments of the script. */
  args?: readonly string[];
  /** Its environment, besides what is constant. */
  env?: Readonly<Record<string, string>>;
  /** Whether it is a test: run by `zako test`, not by `zako build`. */
  test?: boolean;
  /** The longest that it may run: seconds, or as `"90s"`, `"5m"`. */
  timeout?: number | string;
  /** Words to select it by; `manual` keeps it out of patterns. */
  tags?: readonly string[];
}

const INSTALL = { install: "apt install nodejs npm" };

const RUN = 'root=$PWD; package=$1; script=$2; shift 2; cd "$(dirname "$package")"; ' +
  'export PATH="$PWD/node_modules/.bin:$root/node_modules/.bin:$PATH"; exec sh -c "$script \\"\\$@\\"" sh "$@"';

/**
 * The packages that npm installed in this package's folder, for the `deps` of scripts. It is a directory like others: when a file
 * in it is another, what depends on it runs again.
 *
 * ```ts
 * export const modules = nodeModules();
 * ```
 */
export function nodeModules(): Artifact {
  return directory("node_modules");
}

/** Node.js as this machine has it: the program, and a PATH on which it and what it comes with are. */
function node(): { readonly program: Artifact; readonly path: string } {
  const program = host.find("node", INSTALL);
  return { program, path: `${dirname(program.path)}:/usr/local/bin:/usr/bin:/bin` };
}

/** Whether it is what npm installed somewhere. */
function isModules(file: File): boolean {
  try {
    return typeof file === "object" && "path" in file && basename(file.path) === "node_modules";
  } catch {
    // An output of a target: its path is not known here.
    return false;
  }
}

/**
 * A script of this package's `package.json` as a task whose result is kept: it runs again when something that it reads changes. What
 * it writes is at the package's own path, where Node.js looks for it.
 *
 * ```ts
 * export const build = npmScript("build", { inputs: glob("src/**\/*.js"), outputs: ["dist/"] });
 * export const check = npmScript("test", { inputs: glob("test/**\/*.js"), deps: [build], test: true });
 * ```
 */
export function npmScript<const S extends Outputs = readonly []>(name: string, props: NpmScriptProps<S> = {}): Target<{}, OutputNames<S>> {
  const { scripts = {} } = readJson("package.json");
  if (!Object.hasOwn(scripts, name)) {
    const known = Object.keys(scripts);
    throw new TypeError(`package.json has no script "${name}"; ${known.length === 0 ? "it has none" : `it has ${known.join(", ")}`}`);
  }
  const { inputs = [], deps = [], args = [], env = {}, outputs, ...rest } = props;
  const { program, path } = node();
  return task({
    message: `npm run ${name}`,
    ...rest,
    inputs: ["package.json", ...inputs],
    deps,
    ...(outputs === undefined ? {} : { outputs, place: "source" }),
    // As npm runs it: by a shell, in the package's folder, with the installed packages' programs on the PATH.
    command: ["sh", "-euc", RUN, program, ...files("package.json"), scripts[name], ...args],
    env: { PATH: path, npm_lifecycle_event: name, ...env },
  } as any) as any;
}

/** What {@link tsProject} takes. */
export interface TsProjectProps<S extends Outputs> {
  /** The project's settings. Default `tsconfig.json`. */
  config?: string;
  /** Sources. */
  srcs: readonly File[];
  /** What it needs besides: declarations that other projects wrote, installed packages (`node_modules`). */
  deps?: readonly File[];
  /** What it writes, at the package's own path, as `["dist/"]`; with none its types are checked alone. */
  outputs?: S;
  /** The compiler: a file, as `typescript/bin/tsc` of the installed packages. By default that of {@link nodeModules}, which is among the `deps` then. */
  compiler?: File;
}

/**
 * A TypeScript project, built by `tsc`.
 *
 * ```ts
 * export const dist = tsProject({ srcs: glob("src/**\/*.ts"), outputs: ["dist/"], deps: [nodeModules()] });
 * ```
 */
export function tsProject<const S extends Outputs = readonly []>(props: TsProjectProps<S>): Target<{}, OutputNames<S>> {
  if (typeof props !== "object" || props === null) throw new TypeError("tsProject takes an object: { srcs, outputs, deps }");
  knownFields("tsProject", props, ["config", "srcs", "deps", "outputs", "compiler"], "attribute");
  const { config = "tsconfig.json", srcs, deps = [], outputs, compiler } = props;
  const { program, path } = node();
  const modules = deps.find(isModules);
  if (compiler === undefined && modules === undefined) {
    throw new TypeError("tsProject has no compiler: give it nodeModules() as one of its deps, or name one");
  }
  return task({
    message: `tsc ${config}`,
    inputs: [config, ...srcs],
    deps: [...deps, ...(compiler === undefined ? [] : [compiler])],
    ...(outputs === undefined ? {} : { outputs, place: "source" }),
    command: [program, compiler ?? arg`${modules as Artifact}/typescript/bin/tsc`, "-p", ...files(config), ...(outputs === undefined ? ["--noEmit"] : [])],
    env: { PATH: path },
  } as any) as any;
}
