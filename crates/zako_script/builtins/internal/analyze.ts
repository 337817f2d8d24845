// Runs the `analyze` of rules: attributes and dependencies in, actions and providers out.

import { decode, encode, nextAnalysis } from "zako:internal/encode";
import { knownFields } from "zako:internal/fields";
import { call } from "zako:internal/host";
import { find, findStep, stepOf } from "zako:internal/identity";
import { isOption, optionId, optionState } from "zako:internal/option";
import {
  artifactState, isArtifact, isDepset, isTarget, newArtifact, newDepset, targetState,
} from "zako:internal/target";
import type { DepsetObject } from "zako:internal/target";

interface Result {
  files: unknown[];
  providers: Record<string, unknown>;
  outputs: Record<string, unknown>;
  runfiles: unknown;
}

interface Request {
  label: string;
  package: string;
  name: string;
  outputRoot: string;
  /** Which of the configurations, by its place. */
  configuration: number;
  rule: { module: string; export: string };
  attrs: Record<string, unknown>;
}

interface Configuration {
  outputRoot: string;
  values: Values;
  /** What serves in it, by the types' ids. */
  toolchains: Record<string, unknown>;
}

const { freeze } = Object;

/** Everything that is known about targets analysed already, in the engine's encoding until it is looked at. */
const known = new Map<string, Result>();

const NO_FILES: DepsetObject = newDepset({ order: "default", direct: freeze([]), transitive: freeze([]) });

/** What a rule sees of a target that it depends on. */
class DepObject {
  readonly label: string;
  readonly files: readonly unknown[];
  readonly runfiles: unknown;
  #providers: Record<string, unknown>;
  constructor(label: string, result: Result) {
    this.label = label;
    this.files = result.files;
    this.runfiles = result.runfiles ?? NO_FILES;
    this.#providers = result.providers;
    freeze(this);
  }
  get(provider: { id: string }): unknown {
    const value = this.find(provider);
    if (value === undefined) {
      const has = Object.keys(this.#providers);
      throw new TypeError(
        `${this.label} does not provide ${provider.id}; it provides ${has.length === 0 ? "nothing" : has.join(", ")}`,
      );
    }
    return value;
  }
  find(provider: { id: string }): unknown {
    return Object.hasOwn(this.#providers, provider.id) ? this.#providers[provider.id] : undefined;
  }
}
freeze(DepObject.prototype);

const deps = new Map<string, DepObject>();

function dep(label: string): DepObject {
  let found = deps.get(label);
  if (found === undefined) {
    const result = known.get(label);
    if (result === undefined) throw new TypeError(`${label} has not been analysed`);
    found = new DepObject(label, result);
    deps.set(label, found);
  }
  return found;
}

const labelOf = (target: any): string => `${targetState(target).ref}`;

/** The attribute's value as `analyze` sees it. */
function attribute(schema: any, value: unknown): unknown {
  if (value === undefined || value === null) return undefined;
  switch (schema.kind) {
    case "files":
      return freeze((value as unknown[]).flatMap(expand));
    case "file":
      return expand(value)[0];
    case "target":
    case "exec":
      return dep(labelOf(value));
    case "list":
      return freeze((value as unknown[]).map((v) => attribute(schema.of, v)));
    case "dict":
      return freeze(Object.fromEntries(Object.entries(value as object).map(([k, v]) => [k, attribute(schema.of, v)])));
    default:
      return value;
  }
}

function expand(file: unknown): readonly unknown[] {
  if (isTarget(file)) return dep(labelOf(file)).files;
  const state = artifactState(file as any);
  if ("path" in state) return [file];
  // A named output, whose file is known now that its target is analysed.
  const found = known.get(`${state.target}`)?.outputs[state.name];
  if (found === undefined) throw new TypeError(`${state.target} has no output "${state.name}"`);
  return [found];
}

/** Values that are not the options' defaults, by where each option is exported. */
type Values = Record<string, string>;

/** What a target, or a dynamic step of one, declares actions with; `values` are those of its configuration. */
function actor(request: Request, given: readonly any[], values: Values) {
  const { label } = request;
  const declared = new Set<string>(given.map((artifact) => artifact.path));
  const out = (name: string, directory: boolean) => {
    if (typeof name !== "string" || !/^[^/\0\\][^\0\\]*$/.test(name) || name.split("/").some((c) => c === "" || c === "." || c === "..")) {
      throw new TypeError(`"${name}" is not an output's name: it is a path below the package, as "gen/${"x"}.h"`);
    }
    const path = `${request.outputRoot}/${name}`;
    if (declared.has(path)) throw new TypeError(`the output "${name}" is declared twice`);
    declared.add(path);
    return newArtifact({ path, directory });
  };
  const own = (what: string, artifact: unknown) => {
    if (!isArtifact(artifact)) throw new TypeError(`${what} writes files made by ctx.file or ctx.dir`);
    if (!declared.has(artifact.path)) throw new TypeError(`${what} may not write ${artifact.path}: it is no file that ctx.file or ctx.dir of ${label} made`);
  };
  return {
    config(option: unknown) {
      if (!isOption(option)) throw new TypeError("ctx.config takes an option of a *.config.ts file");
      const { kind, default: fallback } = optionState(option);
      const id = optionId(option);
      const value = Object.hasOwn(values, id) ? values[id] : fallback;
      return kind === "flag" ? value === "true" : value;
    },
    file: (name: string) => out(name, false),
    dir: (name: string) => out(name, true),
    run(action: Record<string, unknown>) {
      if (typeof action !== "object" || action === null) throw new TypeError("ctx.run takes an object: { args, outputs }");
      const written = Array.isArray(action.outputs) ? action.outputs : [];
      for (const artifact of action.depfile === undefined ? written : [...written, action.depfile]) own("ctx.run", artifact);
      call("action", { action: encode(action, "the action") });
    },
    write(artifact: unknown, text: string, options: Record<string, unknown> = {}) {
      own("ctx.write", artifact);
      if (typeof text !== "string") throw new TypeError("ctx.write takes the text as its second argument");
      knownFields("ctx.write", options, ["executable"]);
      work(artifact, { kind: "write", text, executable: options.executable === true });
    },
    copy(artifact: unknown, from: unknown) {
      own("ctx.copy", artifact);
      alike("ctx.copy", artifact, from);
      work(artifact, { kind: "copy", from });
    },
    symlink(artifact: unknown, to: unknown) {
      own("ctx.symlink", artifact);
      alike("ctx.symlink", artifact, to);
      work(artifact, { kind: "symlink", to });
    },
    tree(artifact: unknown, files: unknown) {
      own("ctx.tree", artifact);
      if (!isDirectory(artifact)) throw new TypeError("ctx.tree fills a directory made by ctx.dir");
      work(artifact, { kind: "tree", files });
    },
    dynamic(step: unknown, use: Record<string, unknown>) {
      const identity = stepOf(step)?.identity;
      if (identity === undefined) {
        throw new TypeError("ctx.dynamic takes what dynamic() gave, exported from the module that makes it");
      }
      if (typeof use !== "object" || use === null) throw new TypeError("ctx.dynamic takes an object: { reads, outputs, params }");
      knownFields("ctx.dynamic", use, ["reads", "outputs", "params"]);
      const { reads, outputs, params } = use;
      if (!Array.isArray(reads) || reads.length === 0) throw new TypeError("reads of ctx.dynamic takes a list of files, at least one");
      if (!Array.isArray(outputs) || outputs.length === 0) throw new TypeError("outputs of ctx.dynamic takes a list of files, at least one");
      for (const artifact of outputs) own("ctx.dynamic", artifact);
      const work = encode({ kind: "dynamic", ...identity, reads }, "ctx.dynamic") as object;
      // With the configuration's values, so that a step is asked again when they are others.
      const whole = JSON.stringify({ params: encode(params, "params of ctx.dynamic"), values });
      call("action", { action: { work: { ...work, params: whole }, outputs: encode(outputs) } });
    },
  };
}

/** Refuses a promise: what comes after its first `await` would come too late, and silently. */
function synchronous<T>(returned: T, what: string): T {
  if (typeof (returned as any)?.then === "function") {
    throw new TypeError(`${what} gave a promise, and there is nothing to wait for: every call of ctx answers at once. Drop the \`async\``);
  }
  return returned;
}

/** Runs a dynamic step: what it reads is built. */
function step(request: Request & { outputs: unknown; params: { params: unknown; values: Values } }): void {
  const { label, rule } = request;
  const record = findStep(rule.module, rule.export);
  if (record === undefined) throw new TypeError(`${rule.module} exports no dynamic step "${rule.export}"`);
  const outputs = decode(request.outputs) as readonly any[];
  const path = (what: string, file: unknown, below: unknown): string => {
    if (!isArtifact(file)) throw new TypeError(`${what} takes a file that the step reads`);
    if (below !== undefined && typeof below !== "string") throw new TypeError(`${what} takes a path below the directory as its second argument`);
    return below === undefined ? file.path : `${file.path}/${below}`;
  };
  const readText = (file: unknown, below?: unknown): string => call("stepText", { path: path("ctx.readText", file, below) });
  nextAnalysis();
  const ran: unknown = record.step.run(
    freeze({
      label,
      name: request.name,
      package: request.package,
      params: decode(request.params.params),
      outputs,
      readText,
      readJson: (file: unknown, below?: unknown) => JSON.parse(readText(file, below)),
      list: (directory: unknown) => freeze(call("stepList", { path: path("ctx.list", directory, undefined) })),
      ...actor(request, outputs, request.params.values),
    }),
  );
  synchronous(ran, `run of ${rule.export}`);
  call("analyzed", { label, files: [], providers: {}, outputs: {}, runfiles: null });
}

function analyzeOne(request: Request, configuration: Configuration): void {
  const { label, rule } = request;
  const record = find(rule.module, rule.export);
  if (record === undefined) throw new TypeError(`${rule.module} exports no rule "${rule.export}"`);
  const { definition } = record;
  const given = decode(request.attrs) as Record<string, unknown>;
  const attrs: Record<string, unknown> = {};
  for (const name of Object.keys(definition.attrs)) attrs[name] = attribute(definition.attrs[name], given[name]);

  const tools: Record<string, unknown> = {};
  for (const [name, { toolchain }] of Object.entries(definition.toolchains ?? {})) tools[name] = configuration.toolchains[toolchain];

  const outputs: Record<string, unknown> = {};
  let files: unknown[] | undefined;
  const runfiles: { direct: unknown[]; transitive: DepsetObject[] } = { direct: [], transitive: [] };
  const ctx = freeze({
    label,
    name: request.name,
    package: request.package,
    attrs: freeze(attrs),
    tools: freeze(tools),
    outputRoot: configuration.outputRoot,
    ...actor(request, [], configuration.values),
    runfiles(...items: unknown[]) {
      for (const item of items.flat(Infinity)) {
        if (isDepset(item)) runfiles.transitive.push(item);
        else if (isArtifact(item)) runfiles.direct.push(item);
        else throw new TypeError("ctx.runfiles takes files and depsets of files, as the runfiles of a dependency");
      }
    },
    expose(name: string, artifact: unknown) {
      if (name === "default") files = Array.isArray(artifact) ? artifact : [artifact];
      else if (definition.outputs?.includes(name)) outputs[name] = artifact;
      else throw new TypeError(`the rule ${rule.export} declares no output "${name}"`);
    },
  });
  nextAnalysis();
  const returned = synchronous(definition.analyze(ctx), `analyze of ${rule.export}`);
  if (typeof returned === "object" && returned !== null) {
    knownFields(`what analyze of ${rule.export} returns`, returned, Object.keys(definition.provides), "provider");
  }
  const providers: Record<string, unknown> = {};
  for (const key of Object.keys(definition.provides)) {
    const value = returned?.[key];
    if (value === undefined) {
      throw new TypeError(`analyze of ${rule.export} must return "${key}" (${definition.provides[key].id})`);
    }
    providers[definition.provides[key].id] = value;
  }
  for (const name of definition.outputs ?? []) {
    if (!(name in outputs)) throw new TypeError(`analyze of ${rule.export} must expose its output "${name}"`);
  }
  const encoded = { files: encode(files ?? [], "the default output"), providers: {} as Record<string, unknown>, outputs: encode(outputs), runfiles: null as unknown };
  if (runfiles.direct.length > 0 || runfiles.transitive.length > 0) {
    encoded.runfiles = encode(newDepset({ order: "default", ...runfiles }), "the runfiles");
  }
  for (const id of Object.keys(providers)) encoded.providers[id] = encode(providers[id], id);
  // Dependents see exactly what a dependent in another realm would see.
  known.set(label, decodeResult(encoded));
  call("analyzed", { label, ...encoded });
}

function decodeResult(encoded: any): Result {
  return {
    files: decode(encoded.files) as unknown[],
    providers: Object.fromEntries(Object.keys(encoded.providers).map((id) => [id, decode(encoded.providers[id])])),
    outputs: decode(encoded.outputs) as Record<string, unknown>,
    runfiles: decode(encoded.runfiles),
  };
}

/** Declares what zako does itself. */
function work(artifact: unknown, fields: Record<string, unknown>): void {
  call("action", { action: { work: encode(fields, `ctx.${fields.kind}`), outputs: [encode(artifact)] } });
}

const isDirectory = (artifact: unknown): boolean => {
  const state = artifactState(artifact as any);
  return "directory" in state && state.directory;
};

/** Refuses to make a directory of a file, or the other way round. */
function alike(what: string, made: unknown, from: unknown): void {
  if (!isArtifact(from)) throw new TypeError(`${what} takes a file as its second argument`);
  // A source does not say what it is.
  if (isDirectory(from) && !isDirectory(made)) {
    throw new TypeError(`${what}: ${from.path} is a directory; make the output with ctx.dir`);
  }
}

/** Analyses what the engine asks for, in its order. */
export function analyze(): void {
  const { requests, dependencies, configurations } = call("analysis", {});
  for (const label of Object.keys(dependencies)) known.set(label, decodeResult(dependencies[label]));
  // Many targets share them, so they are decoded once.
  for (const configuration of configurations) configuration.toolchains = decode(configuration.toolchains);
  for (const request of requests as Request[]) {
    call("analyzing", { label: request.label });
    if ("params" in request) step(request as any);
    else analyzeOne(request, configurations[request.configuration]);
  }
}
