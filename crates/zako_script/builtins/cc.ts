import { args, attr, depset, provider, rule, toolchainType, type } from "zako:rule";
import { identify } from "zako:internal/identity";
import { basename, extname, join } from "zako:path";
import type { Artifact, CommonProps, Dep, Depset, File, Has, Provider, Sel, Target, ToolchainType } from "zako:rule";

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
  /** Libraries that it uses. */
  deps?: Sel<readonly CcTarget[]>;
  /** Folders below the package to search for headers; for a library, its dependents search them too. */
  includes?: Sel<readonly string[]>;
  /** Definitions, as `"NAME"` or `"NAME=value"`; for a library, its dependents get them too. */
  defines?: Sel<readonly string[]>;
  /** Definitions for this target alone. */
  localDefines?: Sel<readonly string[]>;
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
}

/** What {@link ccTest} takes. */
export interface CcTestProps extends CcProps {
  /** Arguments of the test program. */
  args?: Sel<readonly string[]>;
  /** Its environment. */
  env?: Readonly<Record<string, string>>;
}

const common = {
  srcs: attr.files().default([]),
  deps: attr.list(attr.target(CcInfo)).default([]),
  includes: attr.list(attr.string()).default([]),
  defines: attr.list(attr.string()).default([]),
  localDefines: attr.list(attr.string()).default([]),
  copts: attr.list(attr.string()).default([]),
  linkopts: attr.list(attr.string()).default([]),
  data: attr.files().default([]),
};
const toolchains = { cc: CcToolchain };

/** The compiler for C++, or for C. */
function compiler(ctx: any, cxx: boolean): Artifact {
  const { cc } = ctx.tools;
  if (!cxx) return cc.c;
  if (cc.cxx === undefined) {
    throw new TypeError(`${ctx.label} has C++ in it and there is no C++ compiler: install one (apt install g++), or name one with -D cxx=NAME`);
  }
  return cc.cxx;
}

const CXX: ReadonlySet<string> = new Set([".cc", ".cpp", ".cxx", ".C", ".c++"]);
const C: ReadonlySet<string> = new Set([".c", ".S", ".s"]);

interface Compiled {
  objects: Artifact[];
  info: CcData;
}

function compileAll(ctx: any, hdrs: readonly Artifact[]): Compiled {
  const { attrs } = ctx;
  ctx.runfiles(attrs.data, attrs.deps.map((dep: Dep<unknown>) => dep.runfiles));
  const deps: CcData[] = attrs.deps.map((dep: Dep<Has<typeof CcInfo>>) => dep.get(CcInfo));
  const sources: Artifact[] = [];
  const privateHeaders: Artifact[] = [];
  for (const file of attrs.srcs as readonly Artifact[]) {
    const extension = extname(file.path);
    (C.has(extension) || CXX.has(extension) ? sources : privateHeaders).push(file);
  }
  const own: string[] = attrs.includes.flatMap((folder: string) => {
    const path = join(ctx.package, folder);
    return [path, join(ctx.outputRoot, path)];
  });
  const includes = depset({ direct: own, transitive: deps.map((d) => d.includes), order: "preorder" });
  const defines = depset<string>({ direct: attrs.defines, transitive: deps.map((d) => d.defines), order: "preorder" });
  const headers = depset({ direct: hdrs, transitive: deps.map((d) => d.headers) });
  const flags = [
    "-I.",
    `-I${ctx.outputRoot}`,
    args.prefix("-I", includes),
    args.prefix("-D", [defines, ...attrs.localDefines]),
    ...attrs.copts,
  ];
  let cxx = deps.some((d) => d.cxx);
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
      staged: [...privateHeaders, headers],
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
    archives: depset({ transitive: deps.map((d) => d.archives), order: "topological" }),
    linkopts: depset<readonly string[]>({
      direct: attrs.linkopts.length > 0 ? [attrs.linkopts] : [],
      transitive: deps.map((d) => d.linkopts),
      order: "topological",
    }),
    cxx,
  };
  return { objects, info };
}

function link(ctx: any, { objects, info }: Compiled): Artifact {
  const program = ctx.file(ctx.name);
  ctx.run({
    args: [compiler(ctx, info.cxx), "-o", program, args.responseFile([...objects, info.archives, info.linkopts])],
    outputs: [program],
    mnemonic: "link",
    message: `link ${program.path}`,
  });
  ctx.expose("default", program);
  return program;
}

const library = rule({
  attrs: { ...common, hdrs: attr.files().default([]) },
  provides: { cc: CcInfo },
  toolchains,
  analyze(ctx) {
    const compiled = compileAll(ctx, ctx.attrs.hdrs);
    const { objects } = compiled;
    if (objects.length === 0) {
      ctx.expose("default", ctx.attrs.hdrs);
      return { cc: compiled.info };
    }
    const archive = ctx.file(`lib${basename(ctx.name)}.a`);
    ctx.run({
      args: [ctx.tools.cc.ar, "rcsD", archive, args.responseFile(objects)],
      outputs: [archive],
      mnemonic: "archive",
      message: `archive ${archive.path}`,
    });
    ctx.expose("default", archive);
    const archives = depset({ direct: [archive], transitive: [compiled.info.archives], order: "topological" });
    return { cc: { ...compiled.info, archives } };
  },
});

const binary = rule({
  attrs: common,
  provides: {},
  toolchains,
  analyze(ctx) {
    link(ctx, compileAll(ctx, []));
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
    const program = link(ctx, compileAll(ctx, []));
    ctx.run({
      args: [program, ...ctx.attrs.args],
      inputs: [...ctx.attrs.data, ...ctx.attrs.deps.map((dep) => dep.runfiles)],
      outputs: [],
      env: ctx.attrs.env,
      mnemonic: "test",
      message: `test ${ctx.label}`,
      test: true,
    });
    return {};
  },
});

/**
 * A static library of C and C++ sources, `zako-out/PACKAGE/libNAME.a`; with headers only, just those.
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

identify("zako:cc", { ccLibrary: library, ccBinary: binary, ccTest: test });
