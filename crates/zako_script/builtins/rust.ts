import { args, attr, arg, depset, provider, rule, toolchainType, type } from "zako:rule";
import { CcInfo } from "zako:cc";
import type { CcTarget } from "zako:cc";
import { blake3 } from "zako:hash";
import { identify } from "zako:internal/identity";
import { basename, dirname } from "zako:path";
import type { Artifact, CommonProps, Dep, Depset, File, Has, Provider, Sel, Target, ToolchainType } from "zako:rule";

/** The tools for Rust. */
export interface RustTools {
  /** The compiler itself, not what stands for it (`rustup`). */
  readonly rustc: Artifact;
  /** Its version, as `"1.85.0"`. */
  readonly version: string;
  /** The C compiler that links. */
  readonly linker: Artifact;
  /** The operating system that it builds for: `linux`, `macos`. */
  readonly os: string;
}

/** The kind of toolchain that the Rust rules use. The one that serves unless another is registered finds `rustc` and `cc`. */
export const RustToolchain: ToolchainType<RustTools> = toolchainType("rust", type<RustTools>());

/** What a crate gives to what depends on it. */
export interface RustData {
  /** The name by which code refers to it. */
  readonly crate: string;
  /** What the compiler reads of it: an `.rlib`, or a procedural macro's shared library. */
  readonly library: Artifact;
  /** The libraries of the crates that it uses, and theirs. */
  readonly transitive: Depset<Artifact>;
  /** The folders of those, for the compiler to search. */
  readonly folders: Depset<string>;
  /** Static C libraries that programs link. */
  readonly archives: Depset<Artifact>;
  /** Options for the linker. */
  readonly linkopts: Depset<readonly string[]>;
  /** Files with options of the compiler, one a line, for what links it. */
  readonly linkFlags?: Depset<Artifact>;
  /** What those options name. */
  readonly linkFiles?: Depset<Artifact>;
}

/** The provider of Rust libraries. */
export const RustInfo: Provider<"RustInfo", RustData> = provider("RustInfo", type<RustData>());

/** The provider of procedural macros. */
export const RustMacroInfo: Provider<"RustMacroInfo", RustData> = provider("RustMacroInfo", type<RustData>());

/** A target that gives {@link RustInfo}. */
export type RustTarget = Target<Has<typeof RustInfo>, any>;

/** A target that gives {@link RustMacroInfo}. */
export type RustMacroTarget = Target<Has<typeof RustMacroInfo>, any>;

/** The editions of the language. */
export type Edition = "2015" | "2018" | "2021" | "2024";

/** What all Rust rules take. */
export interface RustProps extends CommonProps {
  /** The crate's sources, and other files that it includes. */
  srcs: Sel<readonly File[]>;
  /** The source that the crate begins with; by default the one among `srcs` called `lib.rs` (for programs `main.rs`), or the only one. */
  root?: string;
  /** The crate's name; by default the target's, with `_` in place of `-`. */
  crate?: string;
  /** The edition. Default `2021`. */
  edition?: Edition;
  /** Crates that it uses. */
  deps?: Sel<readonly RustTarget[]>;
  /** Procedural macros that it uses; built for the machine that compiles. */
  macros?: Sel<readonly RustMacroTarget[]>;
  /** C and C++ libraries that it calls. */
  ccDeps?: Sel<readonly CcTarget[]>;
  /** Features of its own that are on: `cfg(feature = "…")`. */
  features?: Sel<readonly string[]>;
  /** Options for the compiler, as `-Copt-level=2`. */
  flags?: Sel<readonly string[]>;
  /** The environment of the compiler: what `env!` sees. */
  env?: Readonly<Record<string, string>>;
  /** Files that it reads when it runs; for a library, what programs that use it read. */
  data?: Sel<readonly File[]>;
}

/** What {@link rustTest} takes. */
export interface RustTestProps extends RustProps {
  /** Arguments of the test program. */
  args?: Sel<readonly string[]>;
}

const common = {
  srcs: attr.files(),
  root: attr.string().optional(),
  crate: attr.string().optional(),
  edition: attr.enum("2015", "2018", "2021", "2024").default("2021"),
  deps: attr.list(attr.target(RustInfo)).default([]),
  macros: attr.list(attr.exec(RustMacroInfo)).default([]),
  ccDeps: attr.list(attr.target(CcInfo)).default([]),
  features: attr.list(attr.string()).default([]),
  flags: attr.list(attr.string()).default([]),
  env: attr.dict(attr.string()).default({}),
  data: attr.files().default([]),
};
const toolchains = { rust: RustToolchain };

/** The source that the crate begins with. */
function rootOf(ctx: any, usual: string): Artifact {
  const { srcs, root } = ctx.attrs;
  const sources: Artifact[] = srcs.filter((file: Artifact) => file.path.endsWith(".rs"));
  const found = root === undefined
    ? sources.find((file) => basename(file.path) === usual) ?? (sources.length === 1 ? sources[0] : undefined)
    : sources.find((file) => file.path === root || file.path.endsWith(`/${root}`));
  if (found === undefined) {
    throw new TypeError(`${ctx.label} has no ${root ?? usual} among its srcs; name the source that the crate begins with as its root`);
  }
  return found;
}

/** Compiles the crate; `crateType` is rustc's. */
function rustc(ctx: any, crateType: string, usual: string, name: (crate: string) => string, more: readonly string[] = []): RustData {
  const { attrs } = ctx;
  const { rustc, linker }: RustTools = ctx.tools.rust;
  const crate: string = attrs.crate ?? basename(ctx.name).replace(/-/g, "_");
  if (!/^[A-Za-z_]\w*$/.test(crate)) throw new TypeError(`"${crate}" is no name of a crate; give ${ctx.label} one as crate: "name"`);
  const root = rootOf(ctx, usual);
  const deps: readonly RustData[] = attrs.deps.map((dep: Dep<Has<typeof RustInfo>>) => dep.get(RustInfo));
  const macros: readonly RustData[] = attrs.macros.map((dep: Dep<Has<typeof RustMacroInfo>>) => dep.get(RustMacroInfo));
  const native = attrs.ccDeps.map((dep: Dep<Has<typeof CcInfo>>) => dep.get(CcInfo));
  ctx.runfiles(attrs.data, [...attrs.deps, ...attrs.ccDeps].map((dep: Dep<unknown>) => dep.runfiles));
  const used = [...deps, ...macros];
  const transitive = depset<Artifact>({ direct: used.map((d) => d.library), transitive: used.map((d) => d.transitive) });
  const folders = depset<string>({ direct: used.map((d) => dirname(d.library.path)), transitive: used.map((d) => d.folders) });
  const archives = depset<Artifact>({ transitive: [...deps, ...native].map((d) => d.archives), order: "topological" });
  const linkopts = depset<readonly string[]>({ transitive: [...deps, ...native].map((d) => d.linkopts), order: "topological" });
  const gathered = (which: "linkFlags" | "linkFiles") => depset<Artifact>({ transitive: deps.flatMap((d) => d[which] ?? []) });
  const [linkFlags, linkFiles] = [gathered("linkFlags"), gathered("linkFiles")];
  const library = ctx.file(name(crate));
  // What links takes the C libraries, and the folders that build scripts of crates name; a library hands them on.
  const links = crateType === "rlib" ? [] : [args.prefix("-Clink-arg=", [archives, linkopts]), args.prefix("@", linkFlags)];
  ctx.run({
    args: [
      rustc, root, "--crate-name", crate, "--crate-type", crateType, "--edition", attrs.edition, arg`--emit=link=${library}`,
      // Tells crates of one name apart.
      `-Cmetadata=${blake3(ctx.label).slice(0, 16)}`, arg`-Clinker=${linker}`,
      ...used.flatMap((d) => ["--extern", arg`${d.crate}=${d.library}`]),
      args.prefix("-Ldependency=", folders),
      args.each("--cfg", attrs.features.map((feature: string) => `feature="${feature}"`)),
      ...links, ...more, ...attrs.flags,
    ],
    inputs: [...attrs.srcs, transitive, ...(crateType === "rlib" ? [] : [linkFiles])],
    outputs: [library],
    env: { CARGO_CRATE_NAME: crate, ...attrs.env },
    mnemonic: "rustc",
    message: `rustc ${library.path}`,
  });
  ctx.expose("default", library);
  return { crate, library, transitive, folders, archives, linkopts, linkFlags, linkFiles };
}

const library = rule({
  attrs: common,
  provides: { rust: RustInfo },
  toolchains,
  analyze: (ctx) => ({ rust: rustc(ctx, "rlib", "lib.rs", (crate) => `lib${crate}.rlib`) }),
});

const macro = rule({
  attrs: common,
  provides: { rust: RustMacroInfo },
  toolchains,
  analyze: (ctx) => ({ rust: rustc(ctx, "proc-macro", "lib.rs", (crate) => `lib${crate}.${ctx.tools.rust.os === "macos" ? "dylib" : "so"}`, ["--extern", "proc_macro"]) }),
});

const binary = rule({
  attrs: common,
  provides: {},
  toolchains,
  analyze(ctx) {
    rustc(ctx, "bin", "main.rs", () => ctx.name);
    return {};
  },
});

const test = rule({
  attrs: { ...common, args: attr.list(attr.string()).default([]) },
  provides: {},
  toolchains,
  analyze(ctx) {
    const { library: program } = rustc(ctx, "bin", "lib.rs", () => ctx.name, ["--test"]);
    ctx.run({
      args: [program, ...ctx.attrs.args],
      inputs: [...ctx.attrs.data, ...[...ctx.attrs.deps, ...ctx.attrs.ccDeps].map((dep) => dep.runfiles)],
      outputs: [],
      mnemonic: "test",
      message: `test ${ctx.label}`,
      test: true,
    });
    return {};
  },
});

/**
 * A Rust library, `zako-out/PACKAGE/libCRATE.rlib`, compiled by `rustc`.
 *
 * ```ts
 * export const greet = rustLibrary({ srcs: glob("src/**\/*.rs") });
 * ```
 */
export function rustLibrary(props: RustProps): RustTarget {
  return library(props as any);
}

/** A procedural macro, which crates use as one of their `macros`. */
export function rustProcMacro(props: RustProps): RustMacroTarget {
  return macro(props as any);
}

/**
 * A Rust program, `zako-out/PACKAGE/NAME`.
 *
 * ```ts
 * const greet = rustLibrary({ srcs: ["greet.rs"] });
 * export const hello = rustBinary({ srcs: ["main.rs"], deps: [greet], edition: "2024" });
 * ```
 */
export function rustBinary(props: RustProps): Target {
  return binary(props as any);
}

/** The `#[test]` functions of a crate, as a program that `zako test` runs; its result is kept. */
export function rustTest(props: RustTestProps): Target {
  return test(props as any);
}

identify("zako:rust", { rustLibrary: library, rustProcMacro: macro, rustBinary: binary, rustTest: test });
