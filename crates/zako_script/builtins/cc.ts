import { args, attr, depset, provider, rule, toolchainType, type } from "zako:rule";
import { host } from "zako:build";
import { knownFields } from "zako:internal/fields";
import { identify } from "zako:internal/identity";
import { basename, dirname, extname, join, relative } from "zako:path";
import type { Artifact, CommonProps, Ctx, Dep, Depset, File, Has, Provider, Sel, Target, ToolchainType } from "zako:rule";

/** The tools for C and C++. */
export interface CcTools {
  /** The C compiler, which also links: gcc, or what understands its options. */
  readonly c: Artifact;
  /** The C++ compiler, if there is one. */
  readonly cxx: Artifact | undefined;
  /** The archiver. */
  readonly ar: Artifact;
  /** The C compiler's version, as `"12.2.0"`. */
  readonly version: string;
  /** The operating system that it builds for: `linux`, `macos`. */
  readonly os: string;
}

/** The kind of toolchain that the C and C++ rules use. The one that serves unless another is registered finds `cc`, `c++` and `ar`. */
export const CcToolchain: ToolchainType<CcTools> = toolchainType("cc", type<CcTools>());

/** What a C or C++ library gives to what depends on it. */
export interface CcData {
  /** Public headers, its own and those of its dependencies. */
  readonly headers: Depset<Artifact>;
  /** Folders for `-I`, relative to the input root. */
  readonly includes: Depset<string>;
  /** Definitions for `-D`. */
  readonly defines: Depset<string>;
  /** Static libraries to link, dependents before dependencies. */
  readonly archives: Depset<Artifact>;
  /** Shared libraries to link, which programs need when they run. */
  readonly shared: Depset<Artifact>;
  /** Options for the linker, each target's in a row. */
  readonly linkopts: Depset<readonly string[]>;
  /** Whether there is C++ in it, so that the C++ driver must link. */
  readonly cxx: boolean;
}

/** The provider of C and C++ libraries. */
export const CcInfo: Provider<"CcInfo", CcData> = provider("CcInfo", type<CcData>());

/** A target that gives {@link CcInfo}. */
export type CcTarget = Target<Has<typeof CcInfo>, any>;

/** What all C and C++ rules take. */
export interface CcProps extends CommonProps {
  /** Sources (`.c`, `.cc`, `.cpp`, `.cxx`, `.S`) and private headers. */
  srcs?: Sel<readonly File[]>;
  /** Libraries that it uses; for a library, its dependents see their headers, too. */
  deps?: Sel<readonly CcTarget[]>;
  /** Libraries that it uses and its dependents don't see: they are linked, and their headers, folders and definitions stay here. */
  privateDeps?: Sel<readonly CcTarget[]>;
  /** Folders below the package to search for headers; for a library, its dependents search them too. */
  includes?: Sel<readonly string[]>;
  /** Folders below the package to search for headers, for this target alone. */
  privateIncludes?: Sel<readonly string[]>;
  /** Definitions, as `"NAME"` or `"NAME=value"`; for a library, its dependents get them too. */
  defines?: Sel<readonly string[]>;
  /** Definitions for this target alone. */
  privateDefines?: Sel<readonly string[]>;
  /** Options for the compiler, for this target alone. */
  copts?: Sel<readonly string[]>;
  /** Options for the linker; for a library, whatever links it gets them too. */
  linkopts?: Sel<readonly string[]>;
  /** Files that it reads when it runs; for a library, what programs that use it read. */
  data?: Sel<readonly File[]>;
}

/** What {@link ccLibrary} takes. */
export interface CcLibraryProps extends CcProps {
  /** Public headers: dependents may include them, by their path from the workspace's root or from a folder of `includes`. */
  hdrs?: Sel<readonly File[]>;
  /** Whether it is a shared library, `libNAME.so`, with the static libraries that it uses in it. Default false. */
  shared?: boolean;
}

/** What {@link ccTest} takes. */
export interface CcTestProps extends CcProps {
  /** Arguments of the test program. */
  args?: Sel<readonly string[]>;
  /** Its environment. */
  env?: Readonly<Record<string, string>>;
}

/** What {@link compile} takes. Paths of folders are below the package; the rest is as in {@link CcProps}. */
export interface CompileOptions {
  /** Sources and private headers. */
  srcs: readonly Artifact[];
  /** Public headers. */
  hdrs?: readonly Artifact[];
  /** What the libraries give that dependents see, too. */
  deps?: readonly CcData[];
  /** What the libraries give that dependents don't see. */
  privateDeps?: readonly CcData[];
  /** Folders to search for headers. */
  includes?: readonly string[];
  /** Folders to search for headers, here alone. */
  privateIncludes?: readonly string[];
  /** Definitions. */
  defines?: readonly string[];
  /** Definitions, here alone. */
  privateDefines?: readonly string[];
  /** Options for the compiler. */
  copts?: readonly string[];
  /** Options for the linker. */
  linkopts?: readonly string[];
}

/** What {@link compile} gives. */
export interface Compilation {
  /** The object files, in the order of the sources. */
  readonly objects: readonly Artifact[];
  /** What dependents see, and what {@link link} needs: without the objects, which are in no library yet. */
  readonly info: CcData;
}

/** What `analyze` of a rule is given that has {@link CcToolchain} as its toolchain `cc`. */
export type CcCtx = Ctx<any, { cc: ToolchainType<CcTools> }, any>;

const common = {
  srcs: attr.files().default([]),
  deps: attr.list(attr.target(CcInfo)).default([]),
  privateDeps: attr.list(attr.target(CcInfo)).default([]),
  includes: attr.list(attr.string()).default([]),
  privateIncludes: attr.list(attr.string()).default([]),
  defines: attr.list(attr.string()).default([]),
  privateDefines: attr.list(attr.string()).default([]),
  copts: attr.list(attr.string()).default([]),
  linkopts: attr.list(attr.string()).default([]),
  data: attr.files().default([]),
};
const toolchains = { cc: CcToolchain };

/** The compiler for C++, or for C. */
function compiler(ctx: CcCtx, cxx: boolean): Artifact {
  const { cc } = ctx.tools;
  if (!cxx) return cc.c;
  if (cc.cxx === undefined) {
    throw new TypeError(`${ctx.label} has C++ in it and there is no C++ compiler: install one (apt install g++), or name one with -D cxx=NAME`);
  }
  return cc.cxx;
}

const CXX: ReadonlySet<string> = new Set([".cc", ".cpp", ".cxx", ".C", ".c++"]);
const C: ReadonlySet<string> = new Set([".c", ".S", ".s"]);

const preorder = <T>(direct: readonly T[], transitive: readonly Depset<T>[]): Depset<T> => depset<T>({ direct, transitive, order: "preorder" });
const topological = <T>(direct: readonly T[], transitive: readonly Depset<T>[]): Depset<T> => depset<T>({ direct, transitive, order: "topological" });

/**
 * Compiles sources of C and C++, for rules of other languages. The rule has `toolchains: { cc: CcToolchain }`.
 *
 * ```ts
 * const generated = rule({
 *   attrs: { src: attr.file(), deps: attr.list(attr.target(CcInfo)).default([]) },
 *   provides: {},
 *   toolchains: { cc: CcToolchain },
 *   analyze(ctx) {
 *     const source = ctx.file(`${ctx.name}.c`);
 *     ctx.run({ args: ["sh", "-c", 'sed s/foo/bar/ "$1" > "$0"', source, ctx.attrs.src], outputs: [source] });
 *     const compiled = compile(ctx, { srcs: [source], deps: ctx.attrs.deps.map((dep) => dep.get(CcInfo)) });
 *     ctx.expose("default", link(ctx, ctx.name, compiled));
 *     return {};
 *   },
 * });
 * ```
 */
export function compile(ctx: CcCtx, options: CompileOptions): Compilation {
  const { srcs, hdrs = [], deps = [], privateDeps = [], copts = [], linkopts = [] } = options;
  const used = [...privateDeps, ...deps];
  const sources: Artifact[] = [];
  const privateHeaders: Artifact[] = [];
  for (const file of srcs) {
    const extension = extname(file.path);
    (C.has(extension) || CXX.has(extension) ? sources : privateHeaders).push(file);
  }
  const folders = (given: readonly string[] = []): string[] =>
    given.flatMap((folder) => {
      const path = join(ctx.package, folder);
      return [path, join(ctx.outputRoot, path)];
    });
  const includes = preorder(folders(options.includes), deps.map((d) => d.includes));
  const defines = preorder<string>(options.defines ?? [], deps.map((d) => d.defines));
  const headers = depset({ direct: hdrs, transitive: deps.map((d) => d.headers) });
  const flags = [
    // Any object may come to be in a shared library.
    "-fPIC",
    "-I.",
    `-I${ctx.outputRoot}`,
    args.prefix("-I", preorder(folders(options.privateIncludes), [includes, ...privateDeps.map((d) => d.includes)])),
    args.prefix("-D", preorder<string>(options.privateDefines ?? [], [defines, ...privateDeps.map((d) => d.defines)])),
    ...copts,
  ];
  let cxx = used.some((d) => d.cxx);
  const objects = sources.map((source) => {
    const isCxx = CXX.has(extname(source.path));
    cxx ||= isCxx;
    const inPackage = ctx.package !== "" && source.path.startsWith(`${ctx.package}/`) ? source.path.slice(ctx.package.length + 1) : source.path;
    const stem = `_objs/${ctx.name}/${inPackage}`;
    const object = ctx.file(`${stem}.o`);
    const depfile = ctx.file(`${stem}.d`);
    ctx.run({
      args: [compiler(ctx, isCxx), "-c", source, "-o", object, "-MD", "-MF", depfile, ...flags],
      inputs: [source],
      staged: [...privateHeaders, headers, ...privateDeps.map((d) => d.headers)],
      outputs: [object],
      depfile,
      mnemonic: "compile",
      message: `compile ${source.path}`,
    });
    return object;
  });
  const info: CcData = {
    headers,
    includes,
    defines,
    archives: topological([], used.map((d) => d.archives)),
    shared: topological([], used.map((d) => d.shared)),
    linkopts: topological(linkopts.length > 0 ? [linkopts] : [], used.map((d) => d.linkopts)),
    cxx,
  };
  return { objects, info };
}

/**
 * Links what {@link compile} gave to a program at `name` below the package's output folder, or with `shared` to a shared library.
 * Shared libraries are found from where the program is.
 */
export function link(ctx: CcCtx, name: string, { objects, info }: Compilation, options: { readonly shared?: boolean } = {}): Artifact {
  const linked = ctx.file(name);
  const here = ctx.tools.cc.os === "macos" ? "@loader_path" : "$ORIGIN";
  const folders = new Set(info.shared.toList().map((library) => relative(dirname(linked.path), dirname(library.path))));
  const kind = options.shared !== true ? [] : ctx.tools.cc.os === "macos" ? ["-dynamiclib"] : ["-shared", `-Wl,-soname,${basename(name)}`];
  ctx.run({
    args: [
      compiler(ctx, info.cxx), ...kind, "-o", linked,
      args.responseFile([
        ...objects, info.archives, info.shared,
        ...[...folders].map((folder) => `-Wl,-rpath,${folder === "" ? here : `${here}/${folder}`}`),
        info.linkopts,
      ]),
    ],
    outputs: [linked],
    mnemonic: "link",
    message: `link ${linked.path}`,
  });
  return linked;
}

const info = (dep: Dep<Has<typeof CcInfo>>): CcData => dep.get(CcInfo);

/** What all rules here do with their attributes. */
function compileAll(ctx: any, hdrs: readonly Artifact[]): Compilation {
  const { attrs } = ctx;
  const deps: readonly Dep<Has<typeof CcInfo>>[] = attrs.deps;
  const privateDeps: readonly Dep<Has<typeof CcInfo>>[] = attrs.privateDeps;
  ctx.runfiles(attrs.data, [...deps, ...privateDeps].map((dep) => dep.runfiles));
  return compile(ctx, { ...attrs, hdrs, deps: deps.map(info), privateDeps: privateDeps.map(info) });
}

/** A program of the target's sources, and what it needs when it runs. */
function program(ctx: any): Artifact {
  const compiled = compileAll(ctx, []);
  const linked = link(ctx, ctx.name, compiled);
  ctx.runfiles(compiled.info.shared);
  ctx.expose("default", linked);
  return linked;
}

const library = rule({
  attrs: { ...common, hdrs: attr.files().default([]), shared: attr.bool().default(false) },
  provides: { cc: CcInfo },
  toolchains,
  analyze(ctx) {
    const compiled = compileAll(ctx, ctx.attrs.hdrs);
    const { objects, info } = compiled;
    if (ctx.attrs.shared) {
      const library = link(ctx, `lib${basename(ctx.name)}.${ctx.tools.cc.os === "macos" ? "dylib" : "so"}`, compiled, { shared: true });
      ctx.runfiles(library, info.shared);
      ctx.expose("default", library);
      // What is linked into it is not linked again.
      return { cc: { ...info, archives: topological<Artifact>([], []), shared: topological([library], [info.shared]), linkopts: topological<readonly string[]>([], []) } };
    }
    if (objects.length === 0) {
      ctx.expose("default", ctx.attrs.hdrs);
      return { cc: info };
    }
    const archive = ctx.file(`lib${basename(ctx.name)}.a`);
    ctx.run({
      args: [ctx.tools.cc.ar, "rcsD", archive, args.responseFile(objects)],
      outputs: [archive],
      mnemonic: "archive",
      message: `archive ${archive.path}`,
    });
    ctx.expose("default", archive);
    return { cc: { ...info, archives: topological([archive], [info.archives]) } };
  },
});

const binary = rule({
  attrs: common,
  provides: {},
  toolchains,
  analyze(ctx) {
    program(ctx);
    return {};
  },
});

const test = rule({
  attrs: {
    ...common,
    args: attr.list(attr.string()).default([]),
    env: attr.dict(attr.string()).default({}),
  },
  provides: {},
  toolchains,
  analyze(ctx) {
    const linked = program(ctx);
    const deps = [...ctx.attrs.deps, ...ctx.attrs.privateDeps];
    ctx.run({
      args: [linked, ...ctx.attrs.args],
      inputs: [...ctx.attrs.data, ...deps.flatMap((dep) => [dep.runfiles, dep.get(CcInfo).shared])],
      outputs: [],
      env: ctx.attrs.env,
      mnemonic: "test",
      message: `test ${ctx.label}`,
      test: true,
    });
    return {};
  },
});

const installed = rule({
  attrs: { cflags: attr.list(attr.string()), libs: attr.list(attr.string()) },
  provides: { cc: CcInfo },
  analyze(ctx) {
    const { cflags, libs } = ctx.attrs;
    const of = (prefix: string): string[] => cflags.filter((flag) => flag.startsWith(prefix)).map((flag) => flag.slice(prefix.length));
    const cc: CcData = {
      headers: depset<Artifact>({}),
      includes: preorder(of("-I"), []),
      defines: preorder(of("-D"), []),
      archives: topological<Artifact>([], []),
      shared: topological<Artifact>([], []),
      linkopts: topological<readonly string[]>(libs.length > 0 ? [libs] : [], []),
      cxx: false,
    };
    ctx.expose("default", []);
    return { cc };
  },
});

/** What {@link pkgConfig} wants of a library. */
export interface PkgConfigOptions {
  /** The versions that will do, as `">=1.2"` or `">=1.2, <2"`; any when left out. */
  readonly version?: string;
  /** Whether to link what the library uses itself, too, as static linking needs. Default false. */
  readonly static?: boolean;
}

/**
 * A library that is installed on the machine and known to `pkg-config`: its folders, definitions and linker options reach
 * whoever depends on it. One that is missing or of another version is an error here, with what to install.
 *
 * ```ts
 * export const zlib = pkgConfig("zlib", { version: ">=1.2" });
 * export const squeeze = ccBinary({ srcs: ["squeeze.c"], deps: [zlib] });
 * ```
 */
export function pkgConfig(name: string, options: PkgConfigOptions = {}): CcTarget {
  if (typeof name !== "string" || !/^[\w.+-]+$/.test(name)) throw new TypeError("pkgConfig takes the name of a library, as \"zlib\"");
  knownFields("pkgConfig", options, ["version", "static"]);
  const program = host.find(["pkg-config", "pkgconf"], { install: "apt install pkg-config" });
  let version: string;
  try {
    version = host.run(program, ["--modversion", name]);
  } catch (cause) {
    throw new Error(`the library ${name} is not installed, or pkg-config does not know it`, { cause });
  }
  // Asked again when the file is another that says it.
  const reads = [join(host.run(program, ["--variable=pcfiledir", name]), `${name}.pc`)];
  if (options.version !== undefined && !host.satisfies(version, options.version)) {
    throw new Error(`the library ${name} is ${version}, and ${options.version} is needed`);
  }
  // Written for a shell, which takes backslashes away.
  const words = (flag: string): readonly string[] => {
    const printed = host.run(program, [...(options.static === true ? ["--static"] : []), flag, name], { reads });
    return (printed.match(/(?:\\.|[^\s\\])+/g) ?? []).map((word) => word.replace(/\\(.)/g, "$1"));
  };
  return installed({ cflags: words("--cflags"), libs: words("--libs") } as any);
}

/**
 * A library of C and C++ sources: static, `zako-out/PACKAGE/libNAME.a`, or `shared`; with headers only, just those.
 * Headers are found by the compiler's own dependency files, so a changed header compiles exactly what includes it.
 *
 * ```ts
 * export const greet = ccLibrary({ srcs: ["greet.c"], hdrs: ["greet.h"] });
 * ```
 */
export function ccLibrary(props: CcLibraryProps): CcTarget {
  return library(props as any);
}

/**
 * A program, `zako-out/PACKAGE/NAME`.
 *
 * ```ts
 * import { greet } from "//greet/BUILD.ts";
 * export const hello = ccBinary({ srcs: ["main.c"], deps: [greet] });
 * ```
 */
export function ccBinary(props: CcProps): Target {
  return binary(props as any);
}

/**
 * A program that is a test: it passes when it exits with 0. `zako test` runs it and keeps its result until something that
 * it is made of changes; `zako run` runs it directly.
 */
export function ccTest(props: CcTestProps): Target {
  return test(props as any);
}

identify("zako:cc", { ccLibrary: library, ccBinary: binary, ccTest: test, pkgConfig: installed });
