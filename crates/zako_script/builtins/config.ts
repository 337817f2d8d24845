import { knownFields, suggestion } from "zako:internal/fields";
import { callAt } from "zako:internal/host";
import { identify, token } from "zako:internal/identity";
import {
  isOption, joinSettings, newOption, newSelect, optionState, settingData, shownOption,
} from "zako:internal/option";
import { inConfiguration, isTarget } from "zako:internal/target";

/** What an option can be. */
export type Value = string | boolean;

/** Something that a configuration decides, as `-D mode=fast`; made by {@link option} and {@link flag}. */
export interface Option<V extends Value> {
  /** @ignore For type inference only; not there at run time. */
  readonly "~v": V;
  /** The setting of this option to `v`: what {@link configured}, {@link platform} and `transition` take. */
  is(v: V): Setting;
}

/** Options with a value each. */
export interface Setting {
  /** @ignore For type inference only; not there at run time. */
  readonly "~set": true;
}

/** A value that depends on the configuration of the target that has it; made by {@link select}. */
export interface Select<V> {
  /** @ignore For type inference only; not there at run time. */
  readonly "~s": V;
}

/** What an attribute of type `I` may be given: a value, a {@link select}, and in a list a select among the items. */
export type Sel<I> = I | Select<I> | (I extends readonly (infer E)[] ? readonly (E | Select<readonly E[]>)[] : never);

/** What {@link option} takes. */
export interface OptionSpec<V extends string> {
  /** Every value that it can have. */
  values: readonly V[];
  /** The one that it has when nothing says otherwise. */
  default: NoInfer<V>;
  /** What the command line and `zako.toml` call it; its export's name unless given. */
  name?: string;
  /** What to do instead of setting it, as "use opt": whoever sets it is warned. */
  deprecated?: string;
}

/**
 * Declares an option. It belongs into a `*.config.ts` file, which exports it; `-D mode=fast`, a profile or `[config]` in
 * `zako.toml` set it, and anything that is none of its values is refused.
 *
 * ```ts
 * export const mode = option({ values: ["debug", "fast"], default: "debug" });
 * ```
 */
export function option<const V extends string>(o: OptionSpec<V>): Option<V> {
  if (typeof o !== "object" || o === null) throw new TypeError("option takes an object: { values, default }");
  const { values } = o;
  knownFields("option", o, ["values", "default", "name", "deprecated"], "field");
  if (!Array.isArray(values) || values.length === 0 || values.some((v) => typeof v !== "string" || v === "")) {
    throw new TypeError("values of option takes a list of strings, one at least");
  }
  const twice = values.find((v, at) => values.indexOf(v) !== at);
  if (twice !== undefined) throw new TypeError(`values of option has "${twice}" twice`);
  if (!values.includes(o.default)) {
    throw new TypeError(`default of option is none of its values${suggestion(`${o.default}`, values)}`);
  }
  return newOption({ kind: "choice", values, default: o.default, name: named(o.name), deprecated: instead("option", o.deprecated) }) as any;
}

/** What {@link flag} takes. */
export interface FlagSpec {
  /** Whether it is on when nothing says otherwise. Default false. */
  default?: boolean;
  /** What the command line and `zako.toml` call it; its export's name unless given. */
  name?: string;
  /** What to do instead of setting it, as "use opt": whoever sets it is warned. */
  deprecated?: string;
}

/**
 * Declares an option that is on or off: `-D lto=true`.
 *
 * ```ts
 * export const lto = flag();
 * ```
 */
export function flag(f: FlagSpec = {}): Option<boolean> {
  if (typeof f !== "object" || f === null) throw new TypeError("flag takes an object: { default }");
  knownFields("flag", f, ["default", "name", "deprecated"], "field");
  const { default: on = false } = f;
  if (typeof on !== "boolean") throw new TypeError("default of flag takes true or false");
  return newOption({ kind: "flag", values: ["true", "false"], default: `${on}`, name: named(f.name), deprecated: instead("flag", f.deprecated) }) as any;
}

function instead(what: string, text: unknown): string | null {
  if (text === undefined) return null;
  if (typeof text !== "string" || text === "") throw new TypeError(`deprecated of ${what} takes what to use instead, as "use opt"`);
  return text;
}

function named(name: unknown): string | null {
  if (name === undefined) return null;
  if (typeof name !== "string" || !/^[A-Za-z_]\w*$/.test(name)) {
    throw new TypeError("name of an option is a word of letters, digits and _");
  }
  return name;
}

/**
 * A value for each value of an option: which one counts is decided by the configuration that the target is built in. There
 * must be a case for each value. It is what an attribute is, or an item of a list, whose cases are lists then.
 *
 * ```ts
 * import { mode } from "//build/mode.config.ts";
 * export const app = ccBinary({
 *   srcs: ["main.c", select(platform.os, { linux: ["linux.c"], macos: ["macos.c"], windows: ["windows.c"] })],
 *   copts: select(mode, { debug: ["-O0", "-g"], fast: ["-O2"] }),
 * });
 * ```
 */
export function select<V extends Value, const C extends { readonly [K in `${V}`]: unknown }>(
  o: Option<V>,
  cases: C & { readonly [K in Exclude<keyof C, `${V}`>]: never },
): Select<C[keyof C]> {
  if (!isOption(o)) throw new TypeError("select takes an option of a *.config.ts file, and a case for each of its values");
  if (typeof cases !== "object" || cases === null) throw new TypeError(`select over ${shownOption(o)} takes an object with a case for each value`);
  const { values } = optionState(o);
  for (const name of Object.keys(cases)) {
    if (!values.includes(name)) throw new TypeError(`${shownOption(o)} has no value "${name}"${suggestion(name, values)}`);
  }
  const missing = values.filter((name) => !Object.hasOwn(cases, name));
  if (missing.length > 0) {
    throw new TypeError(`select over ${shownOption(o)} has no case for ${missing.map((name) => `"${name}"`).join(" and ")}`);
  }
  return newSelect(o, values.map((name) => [name, (cases as any)[name]] as const)) as any;
}

/**
 * The target in the configuration of whoever uses it, but with these settings. Exported, it has a name of its own.
 *
 * ```ts
 * import { mode } from "//build/mode.config.ts";
 * export const app = task({ outputs: ["app"], shell: "touch $out" });
 * export const fast = configured(app, mode.is("fast"));
 * ```
 */
export function configured<T extends { readonly "~p": unknown }>(t: T, ...settings: readonly Setting[]): T {
  if (!isTarget(t)) throw new TypeError("configured takes a target, and settings as mode.is(\"fast\")");
  return inConfiguration(t, false, settingData(joinSettings(settings, "configured"))) as any;
}

/** The operating systems that there are rules for. */
export type Os = "linux" | "macos" | "windows";
/** The processors that there are rules for. */
export type Arch = "x86_64" | "aarch64";

/** What {@link platform} is: a function, and the options that every platform has. */
export interface PlatformFunction {
  /**
   * Gives several settings one name: the export's, which `-D platform=NAME` and `zako.toml` know.
   *
   * ```ts
   * export const board = platform(platform.os.is("linux"), platform.arch.is("aarch64"));
   * ```
   */
  (...settings: readonly Setting[]): Setting;
  /** The operating system; by default the one that zako runs on. */
  readonly os: Option<Os>;
  /** The processor; by default the one that zako runs on. */
  readonly arch: Option<Arch>;
}

// What their defaults are is the machine's to say: the engine knows.
const os: Option<Os> = newOption({ kind: "choice", values: ["linux", "macos", "windows"], default: "linux", name: null, deprecated: null }) as any;
const arch: Option<Arch> = newOption({ kind: "choice", values: ["x86_64", "aarch64"], default: "x86_64", name: null, deprecated: null }) as any;

/** Platforms: settings under one name, and the options `platform.os` and `platform.arch`. */
export const platform: PlatformFunction = Object.freeze(
  Object.assign((...settings: readonly Setting[]): Setting => joinSettings(settings, "platform") as any, { os, arch }),
);

/** A variable of the environment that zako was started in; made by {@link env}. */
export interface EnvOption {
  /** Its value while a `BUILD.ts` is evaluated, or the default; without a default an unset one is an error. */
  get(): string;
}

/** What {@link env} takes. */
export interface EnvSpec {
  /** What it is when it is not set. */
  default?: string;
}

/**
 * Declares a variable of the environment, which scripts see in no other way. It belongs into a `*.config.ts` file, which
 * exports it. What read it is evaluated again when it is another.
 *
 * ```ts
 * export const prefix = env("PREFIX", { default: "/usr/local" });
 * ```
 */
export function env(name: string, e: EnvSpec = {}): EnvOption {
  if (typeof name !== "string" || name === "" || /[=\0]/.test(name)) throw new TypeError("env takes the name of a variable, as \"PREFIX\"");
  if (typeof e !== "object" || e === null) throw new TypeError("env takes an object as its second argument: { default }");
  knownFields("env", e, ["default"], "field");
  const { default: fallback } = e;
  if (fallback !== undefined && typeof fallback !== "string") throw new TypeError("default of env takes a string");
  const record: { identity?: { module: string; export: string } } = {};
  const made: EnvOption = Object.freeze({
    get(): string {
      const { identity } = record;
      if (identity === undefined || !identity.module.endsWith(".config.ts")) {
        throw new TypeError(`the variable ${name} is declared in no *.config.ts file: export env("${name}") from one`);
      }
      const value: string | null = callAt("env", { name });
      if (value !== null) return value;
      if (fallback === undefined) {
        throw new TypeError(`${name} is not set in the environment that zako was started in, and ${identity.export} of ${identity.module} has no default`);
      }
      return fallback;
    },
  });
  token(made, record);
  return made;
}

identify("zako:config", { os, arch });
