import type { FindOptions, Questions } from "zako:build";
import type { Artifact, ToolchainType } from "zako:rule";
import type { Setting } from "zako:config";
import { knownFields } from "zako:internal/fields";
import { joinSettings } from "zako:internal/option";
import { define } from "zako:internal/toolchain";

/** What {@link Host.fetched} takes. */
export interface FetchedSpec {
  /** Where it is: `https://…`, `http://…` or `file:///…`. Redirects are followed. */
  readonly url: string;
  /** What its bytes must be: `sha256-BASE64` (also `sha384`, `sha512`), or `blake3-HEX`. Without it what `zako.lock` has for the address. */
  readonly integrity?: string;
  /** How many of the first folders of each path in the archive are left out. Default 0. */
  readonly strip?: number;
  /** Whether it is an archive. Default true; else it is a program itself, by the last part of the address. */
  readonly extract?: boolean;
}

/** What was fetched, on this machine. */
export interface Fetched {
  /** The folder, absolute. */
  readonly path: string;
  /** The program at that path in it. */
  file(path: string, options?: FindOptions): Artifact;
}

/** The machine, as a toolchain may ask it. Each answer is recorded, and asked for again when it may be another. */
export interface Host extends Questions {
  /** The operating system: `linux`, `macos`, `windows`. */
  readonly os: string;
  /** The processor: `x86_64`, `aarch64`. */
  readonly arch: string;
  /**
   * An archive, or a program, from elsewhere: fetched once for all workspaces, checked, and kept in the cache folder. Without a network
   * it is there when it was fetched before.
   *
   * ```ts
   * import { toolchainType, type } from "zako:rule";
   * const Go = toolchainType("go", type<{ go: Artifact }>());
   *
   * export const go = toolchain({
   *   type: Go,
   *   resolve: (host) => ({
   *     go: host.fetched({
   *       url: "https://go.dev/dl/go1.22.5.linux-amd64.tar.gz",
   *       integrity: "sha256-kEycdvBzyTqD0Sl2uqRk0UaaQ5NRkDTbzbyfLQ3Dd10=",
   *       strip: 1,
   *     }).file("bin/go"),
   *   }),
   * });
   * ```
   */
  fetched(spec: FetchedSpec): Fetched;
  /** The invocation's option `name` (`-D name=value`, `[config]` of `zako.toml`), or `fallback`. */
  option(name: string, fallback: string): string;
}

export type { FindOptions, Questions, RunOptions } from "zako:build";

/** What a toolchain is made of. */
export interface ToolchainDefinition<T> {
  /** What kind of toolchain it is: rules ask for it by this. */
  type: ToolchainType<T>;
  /**
   * What must hold in the configuration of a target for this toolchain to serve it: `[platform.os.is("windows")]`, or a setting of
   * any option of a `*.config.ts` file. One without serves in all.
   */
  target?: readonly Setting[];
  /** Finds the tools and says how to use them. Plain data and artifacts of `find`. */
  resolve(host: Host): NoInfer<T>;
}

/** A toolchain; made by {@link toolchain}. */
export interface Toolchain<T> {
  /** @ignore For type inference only; not there at run time. */
  readonly "~tc": T;
}

/**
 * A toolchain: where the tools of one kind come from. Export it from a `*.toolchain.ts` file, and export that file's handle from
 * a `*.config.ts` file, or name the file under `toolchains` in `zako.toml`.
 *
 * ```ts
 * import { toolchainType, type } from "zako:rule";
 * const Go = toolchainType("go", type<{ go: Artifact; version: string }>());
 *
 * export const go = toolchain({
 *   type: Go,
 *   resolve(host) {
 *     const go = host.find("go", { version: ">=1.20", install: "apt install golang-go" });
 *     return { go, version: host.version(go, ["version"]) };
 *   },
 * });
 * ```
 *
 * One for targets that are built for another platform than this one:
 *
 * ```ts
 * import { CcToolchain } from "zako:cc";
 * import { platform } from "zako:config";
 *
 * export const mingw = toolchain({
 *   type: CcToolchain,
 *   target: [platform.os.is("windows"), platform.arch.is("x86_64")],
 *   resolve(host) {
 *     const [c, cxx] = [host.find("x86_64-w64-mingw32-gcc"), host.findOptional("x86_64-w64-mingw32-g++")];
 *     return { c, cxx, ar: host.find("x86_64-w64-mingw32-ar"), version: host.version(c), os: "windows" };
 *   },
 * });
 * ```
 */
export function toolchain<T>(definition: ToolchainDefinition<T>): Toolchain<T> {
  if (typeof definition !== "object" || definition === null || typeof definition.resolve !== "function") {
    throw new TypeError("toolchain takes an object: { type, resolve(host) { … } }");
  }
  if (typeof (definition.type as any)?.toolchain !== "string") {
    throw new TypeError("the type of a toolchain is made by toolchainType, in a file that its rules import too");
  }
  const { type, target } = definition;
  knownFields("toolchain", definition, ["type", "target", "resolve"], "field");
  if (target !== undefined && !Array.isArray(target)) {
    throw new TypeError("target of toolchain takes a list of settings, as [mode.is(\"fast\")]");
  }
  return define({
    type: type as any,
    target: target && joinSettings(target, "target of toolchain"),
    resolve: (host) => definition.resolve(host as Host),
  }) as any;
}
