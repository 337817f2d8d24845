import { directory, fetch, glob, readText } from "zako:build";
import { arg, args, attr, depset, dynamic, rule, toolchainType, type } from "zako:rule";
import { blake3 } from "zako:hash";
import { knownFields } from "zako:internal/fields";
import { identify } from "zako:internal/identity";
import { basename, dirname, join } from "zako:path";
import { RustInfo } from "zako:rust";
import type { RustTarget } from "zako:rust";
import type { Artifact, CommonProps, Dynamic, File, Target, ToolchainType } from "zako:rule";

/** The tools for crates from a `Cargo.lock`. */
export interface CargoTools {
  /** Cargo itself, not what stands for it (`rustup`): it says which crates there are, with which features. */
  readonly cargo: Artifact;
  /** The compiler itself. */
  readonly rustc: Artifact;
  /** The C compiler that links. */
  readonly linker: Artifact;
  /** What the compiler builds for, as `x86_64-unknown-linux-gnu`. */
  readonly host: string;
  /** What `cfg` is there, as `rustc --print cfg` says. */
  readonly cfg: readonly string[];
}

/** The kind of toolchain that the rules for crates use. The one that serves unless another is registered finds `cargo` and `rustc`. */
export const CargoToolchain: ToolchainType<CargoTools> = toolchainType("cargo", type<CargoTools>());

/** What {@link cargoBinary} and {@link cargoLibrary} take. */
export interface CargoProps extends CommonProps {
  /** The manifest of the crate, or of its Cargo workspace. Default `Cargo.toml`. */
  manifest?: string;
  /** The lock file, beside the manifest of the Cargo workspace. Default `Cargo.lock` in the folder of `manifest`. */
  lock?: string;
  /** The sources and manifests of the crates that are here. By default all `.rs` and `Cargo.toml` files of the package but those in `vendor` and `target`. */
  srcs?: readonly File[];
  /** The folder that `cargo vendor` made. Default `vendor` beside `lock`. */
  vendor?: string;
  /**
   * More crates: directories named NAME-VERSION, or what they are by such names, as `{ "itoa-1.0.11": fetch({ url, integrity, extract: { strip: 1 } }) }`.
   */
  crates?: readonly File[] | Readonly<Record<string, File>>;
  /**
   * Where crates that are not here are fetched from, with the digests that the lock file has: `URL/NAME/NAME-VERSION.crate`, or an address with
   * `{crate}` and `{version}` in it.
   */
  registry?: string;
  /** The package in a Cargo workspace of several. */
  package?: string;
  /** Features that are on besides the default ones. */
  features?: readonly string[];
  /** Whether the default features are on. Default true. */
  defaultFeatures?: boolean;
  /** The profile of the manifest. Default `dev`. */
  profile?: string;
}

/** What {@link cargoBinary} takes. */
export interface CargoBinaryProps extends CargoProps {
  /** Which of the crate's programs. Default the export's name. */
  bin?: string;
}

/** The shape of `cargo build --unit-graph`, as far as it is used here. */
interface Unit {
  readonly pkg_id: string;
  readonly target: { readonly kind: readonly string[]; readonly name: string; readonly src_path: string; readonly edition: string };
  readonly profile: {
    readonly opt_level: string; readonly lto: string; readonly codegen_units: number | null; readonly debuginfo: number | string | null;
    readonly debug_assertions: boolean; readonly overflow_checks: boolean; readonly panic: string; readonly strip: unknown; readonly name: string;
  };
  readonly mode: string;
  readonly features: readonly string[];
  readonly dependencies: readonly { readonly index: number; readonly extern_crate_name: string }[];
}

/** The same of `cargo metadata`. */
interface Package {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly source: string | null;
  readonly links: string | null;
  readonly manifest_path: string;
  readonly features: Readonly<Record<string, unknown>>;
  readonly authors: readonly string[];
  readonly description: string | null;
  readonly homepage: string | null;
  readonly repository: string | null;
  readonly license: string | null;
  readonly rust_version: string | null;
}

/** A unit whose actions are declared. */
interface Made {
  readonly unit: Unit;
  /** What it makes: a library, a program, or the folder that a build script filled. */
  readonly output: Artifact;
  /** The libraries that whoever compiles against it needs to find, with itself. */
  readonly libraries: ReadonlySet<Artifact>;
  /** The folders of build scripts that tell what to link. */
  readonly scripts: ReadonlySet<Artifact>;
  /** Tells it from others. */
  readonly hash: string;
}

/** Where crates are, in paths that Cargo says. */
const VENDORED = "vendored:";

// The crates are put together as Cargo wants them: a folder each, with the digest that the lock file has. Paths in what it says are made
// those of the input root. It looks for nothing above that: CARGO_HOME ends its search for a workspace.
const PLAN = `
cargo=$1 rustc=$2 manifest=$3 crates=$4 sources=$5 units=$6 packages=$7; shift 7
root=$(pwd -P); temporary=$(cd "$TMPDIR" && pwd -P); vendored=$temporary/vendored; mkdir "$vendored"
while read -r name checksum folder; do
  mkdir "$vendored/$name"
  ln -s "$root/$folder"/* "$vendored/$name/"
  case $checksum in -) checksum=null ;; *) checksum="\\"$checksum\\"" ;; esac
  printf '{"files":{},"package":%s}' "$checksum" > "$vendored/$name/.cargo-checksum.json"
done < "$crates"
{ cat "$sources"; printf '[source.zako]\\ndirectory = "%s"\\n' "$vendored"; } > "$temporary/sources.toml"
export CARGO_HOME="$root" CARGO_TARGET_DIR="$temporary/target" RUSTC="$rustc"
ask() {
  "$cargo" "$@" --offline --locked --manifest-path "$manifest" --config "$temporary/sources.toml" > "$temporary/said" 2> "$temporary/errors" && return 0
  cat "$temporary/errors" >&2
  case $(cat "$temporary/errors") in
    *--locked*) echo "zako: the lock file is not that of the manifests any more: run \\\`cargo generate-lockfile --offline\\\` or \\\`cargo update --workspace\\\` beside $manifest and commit it" >&2 ;;
  esac
  exit 1
}
clean() { sed "s|$vendored/|${VENDORED}|g; s|$root/||g; s|$root|.|g" "$temporary/said" > "$1"; }
ask metadata --format-version 1
clean "$packages"
# Which units there are is said on request only, not by default; nothing is compiled with this.
export RUSTC_BOOTSTRAP=1
ask build --unit-graph -Z unstable-options "$@"
clean "$units"
`;

// What build scripts say is read when a crate is compiled. Their folders are the arguments up to "--": first the crate's own, or "-".
const COMPILE = `
rustc=$1 manifest=$2 links=$3; shift 3
root=$(pwd -P); flags=$TMPDIR/flags; : > "$flags"
export CARGO_MANIFEST_DIR="$root/$manifest" CARGO_MANIFEST_PATH="$root/$manifest/Cargo.toml"
said() { sed -n "s|@ROOT@|$root|g; s|^cargo::*||p" "$1/output"; }
if [ "$1" != - ]; then
  export OUT_DIR="$root/$1/out"
  said "$1" > "$TMPDIR/said"
  while IFS= read -r line; do
    value=\${line#*=}
    case $line in
      rustc-cfg=*) printf '%s\\n' --cfg "$value" ;;
      rustc-check-cfg=*) printf '%s\\n' --check-cfg "$value" ;;
      rustc-link-lib=*) printf '%s\\n' -l "$value" ;;
      rustc-flags=*) for word in $value; do printf '%s\\n' "$word"; done ;;
      rustc-env=*) export "\${value?}" ;;
      rustc-link-arg=*) [ "$links" = no ] || printf '%s\\n' "-Clink-arg=$value" ;;
      rustc-link-arg-bins=*) [ "$links" != bin ] || printf '%s\\n' "-Clink-arg=$value" ;;
      rustc-cdylib-link-arg=*) ;;
    esac
  done < "$TMPDIR/said" >> "$flags"
fi
[ "$1" != - ] || shift
while [ "$1" != -- ]; do
  said "$1" | while IFS= read -r line; do
    case $line in rustc-link-search=*) printf '%s\\n' -L "\${line#*=}" ;; esac
  done >> "$flags"
  shift
done
shift
exec "$rustc" "--remap-path-prefix=$root=." "@$flags" "$@"
`;

// Runs a build script: folders of those that it may ask (NAME=FOLDER) come last. What it says is kept without the place where it ran.
const RUN = `
root=$(pwd -P); script=$root/$1 folder=$root/$2 manifest=$3; export RUSTC="$4" RUSTC_LINKER="$5"; shift 5
mkdir -p "$folder/out"
export OUT_DIR="$folder/out" CARGO_MANIFEST_DIR="$root/$manifest" CARGO_MANIFEST_PATH="$root/$manifest/Cargo.toml"
for asked; do
  name=\${asked%%=*}
  sed -n "s|@ROOT@|$root|g; s|^cargo::metadata=||p; s|^cargo:\\([a-z]*=\\)|\\1|p" "\${asked#*=}/output" > "$TMPDIR/told"
  while IFS= read -r line; do
    key=$(printf %s "\${line%%=*}" | tr 'a-z-' 'A-Z_')
    export "DEP_\${name}_$key=\${line#*=}"
  done < "$TMPDIR/told"
done
cd "$CARGO_MANIFEST_DIR"
"$script" > "$TMPDIR/output" || { cat "$TMPDIR/output" >&2; exit 1; }
sed -n 's/^cargo::*warning=/warning: /p; s/^cargo::error=/error: /p' "$TMPDIR/output" >&2
if grep -q '^cargo::error=' "$TMPDIR/output"; then exit 1; fi
sed "s|$root|@ROOT@|g" "$TMPDIR/output" > "$folder/output"
`;

// The folders in which build scripts want libraries to be searched, as options of the compiler.
const SEARCH = `
flags=$1 native=$2; shift 2; : > "$flags"
for script; do
  from=$(printf %s "$script" | sed 's/[][\\.*^$|]/\\\\&/g') to=$(printf %s "$native/\${script##*/}" | sed 's/[&|\\]/\\\\&/g')
  sed -n "s|@ROOT@/$from|$to|g; s|@ROOT@/||g; s|^cargo::*rustc-link-search=|-L|p" "$script/output" >> "$flags"
done
`;

const word = (name: string): string => name.replace(/-/g, "_");
const loud = (name: string): string => word(name).toUpperCase();

/** What `env!` sees of a package, in its build script too. */
function packageEnv(p: Package): Record<string, string> {
  const [, major = "", minor = "", patch = "", pre = ""] = /^(\d+)\.(\d+)\.(\d+)(?:-([^+]*))?/.exec(p.version) ?? [];
  return {
    CARGO_PKG_NAME: p.name, CARGO_PKG_VERSION: p.version, CARGO_PKG_VERSION_MAJOR: major, CARGO_PKG_VERSION_MINOR: minor,
    CARGO_PKG_VERSION_PATCH: patch, CARGO_PKG_VERSION_PRE: pre, CARGO_PKG_AUTHORS: p.authors.join(":"),
    CARGO_PKG_DESCRIPTION: (p.description ?? "").replace(/\s+/g, " "), CARGO_PKG_HOMEPAGE: p.homepage ?? "",
    CARGO_PKG_REPOSITORY: p.repository ?? "", CARGO_PKG_LICENSE: p.license ?? "", CARGO_PKG_RUST_VERSION: p.rust_version ?? "",
  };
}

/** The environment of a build script that says what is built, and how. */
function scriptEnv(unit: Unit, tools: Omit<CargoTools, "cargo">): Record<string, string> {
  const env: Record<string, string> = {
    TARGET: tools.host, HOST: tools.host, NUM_JOBS: "1", OPT_LEVEL: unit.profile.opt_level,
    DEBUG: `${unit.profile.debuginfo !== null && unit.profile.debuginfo !== 0}`,
    PROFILE: unit.profile.name === "release" ? "release" : "debug", CARGO_ENCODED_RUSTFLAGS: "", RUSTDOC: "rustdoc", CARGO: "cargo",
  };
  for (const feature of unit.features) env[`CARGO_FEATURE_${loud(feature)}`] = "1";
  const values: Record<string, string[]> = { FEATURE: [...unit.features] };
  for (const line of tools.cfg) {
    const [, name = "", value] = /^(\w+)(?:="(.*)")?$/.exec(line) ?? [];
    if (name === "" || name === "debug_assertions" || name === "panic") continue;
    (values[loud(name)] ??= []).push(...(value === undefined ? [] : [value]));
  }
  for (const [name, all] of Object.entries(values)) env[`CARGO_CFG_${name}`] = all.join(",");
  return env;
}

/** The profile as options of the compiler; `links` when it makes a program. */
function profileFlags({ profile, target }: Unit, links: boolean): string[] {
  const flags = [`-Copt-level=${profile.opt_level}`, `-Cdebug-assertions=${profile.debug_assertions ? "on" : "off"}`, `-Coverflow-checks=${profile.overflow_checks ? "on" : "off"}`];
  if (profile.debuginfo !== null && profile.debuginfo !== 0) flags.push(`-Cdebuginfo=${profile.debuginfo}`);
  if (profile.codegen_units !== null) flags.push(`-Ccodegen-units=${profile.codegen_units}`);
  if (profile.panic === "abort" && target.kind[0] !== "proc-macro" && target.kind[0] !== "custom-build") flags.push("-Cpanic=abort");
  const lto: Readonly<Record<string, string>> = { true: "fat", fat: "fat", thin: "thin" };
  if (links && lto[profile.lto] !== undefined) flags.push(`-Clto=${lto[profile.lto]}`);
  const strip = /"(debuginfo|symbols)"/.exec(JSON.stringify(profile.strip ?? ""))?.[1];
  if (links && strip !== undefined) flags.push(`-Cstrip=${strip}`);
  return flags;
}

/** Declares the actions of all crates that Cargo named. */
export const compile: Dynamic<{
  readonly units: Artifact;
  readonly packages: Artifact;
  readonly srcs: readonly Artifact[];
  readonly crates: Readonly<Record<string, Artifact>>;
  readonly tools: Omit<CargoTools, "cargo">;
}> = dynamic({
  params: type<any>(),
  run(ctx) {
    const { tools, crates } = ctx.params;
    const graph: { readonly version: number; readonly units: readonly Unit[]; readonly roots: readonly number[] } = ctx.readJson(ctx.params.units);
    if (graph.version !== 1) throw new Error(`this cargo says its units in form ${graph.version}, and zako knows 1: use a cargo of 1.95 or near`);
    const packages = new Map<string, Package>();
    for (const p of ctx.readJson(ctx.params.packages).packages as readonly Package[]) packages.set(p.id, p);

    const made = new Map<number, Made>();
    /** A path that Cargo said, as the action finds it. */
    const here = (path: string): string => {
      if (!path.startsWith(VENDORED)) return path;
      const [folder = "", ...rest] = path.slice(VENDORED.length).split("/");
      const crate = crates[folder];
      if (crate === undefined) throw new Error(`cargo names the crate ${folder}, which is not among those of the lock file`);
      return [crate.path, ...rest].join("/");
    };
    const declare = (index: number): Made => {
      const known = made.get(index);
      if (known !== undefined) return known;
      const unit = graph.units[index] as Unit;
      const p = packages.get(unit.pkg_id) as Package;
      const deps = unit.dependencies.map((dep) => ({ name: dep.extern_crate_name, made: declare(dep.index) }));
      const { dependencies: _, ...alone } = unit;
      const hash = blake3(JSON.stringify([alone, p.version, tools.host, deps.map((dep) => [dep.name, dep.made.hash])])).slice(0, 16);
      const folder = `_cargo/${ctx.name}/${p.name}-${p.version}-${hash.slice(0, 8)}`;
      const manifest = dirname(here(p.manifest_path));
      const member = p.source === null;
      const sources = member
        ? ctx.params.srcs.filter((file) => manifest === "." || file.path.startsWith(`${manifest}/`))
        : [crates[p.manifest_path.slice(VENDORED.length).split("/")[0] as string] as Artifact];
      const isRun = (dep: { readonly made: Made }): boolean => dep.made.unit.mode === "run-custom-build";
      const scripts = new Set<Artifact>(deps.flatMap((dep) => [...dep.made.scripts]));
      const libraries = new Set<Artifact>();
      for (const dep of deps) for (const library of dep.made.libraries) libraries.add(library);

      let result: Made;
      if (unit.mode === "run-custom-build") {
        const script = deps.find((dep) => dep.made.unit.target.kind[0] === "custom-build" && dep.made.unit.mode === "build") as { readonly made: Made };
        const asked = deps.filter((dep) => isRun(dep)).flatMap((dep) => {
          const { links } = packages.get(dep.made.unit.pkg_id) as Package;
          return links === null ? [] : [arg`${loud(links)}=${dep.made.output}`];
        });
        const output = ctx.dir(folder);
        ctx.run({
          args: ["sh", "-euc", RUN, "sh", script.made.output, output, manifest, tools.rustc, tools.linker, ...asked],
          inputs: sources,
          outputs: [output],
          env: { ...packageEnv(p), ...scriptEnv(unit, tools), ...(p.links === null ? {} : { CARGO_MANIFEST_LINKS: p.links }) },
          mnemonic: "build script",
          message: `build script of ${p.name} ${p.version}`,
        });
        result = { unit, output, libraries: new Set(), scripts: new Set([output]), hash };
      } else {
        const kind = unit.target.kind[0] as string;
        const crate = word(unit.target.name);
        const isRoot = graph.roots.includes(index);
        const program = kind === "bin" || kind === "custom-build";
        const links = program || kind === "proc-macro";
        const name = program ? unit.target.name : kind === "proc-macro" ? `lib${crate}-${hash}.${tools.cfg.includes('target_os="macos"') ? "dylib" : "so"}` : `lib${crate}-${hash}.rlib`;
        // A program goes where its user said; a library is copied there, under the name by which it is found here.
        const output = isRoot && program ? (ctx.outputs[0] as Artifact) : ctx.file(`${folder}/${name}`);
        const own = deps.find(isRun)?.made.output;
        const externs = deps.filter((dep) => !isRun(dep));
        const features = Object.keys(p.features).map((feature) => `"${feature}"`);
        ctx.run({
          args: [
            "sh", "-euc", COMPILE, "sh", tools.rustc, manifest, kind === "bin" ? "bin" : links ? "yes" : "no",
            own ?? "-", ...[...scripts].filter((script) => own === undefined || script !== own), "--",
            here(unit.target.src_path), "--crate-name", crate, "--crate-type", program ? "bin" : kind === "proc-macro" ? "proc-macro" : "rlib",
            "--edition", unit.target.edition, arg`--emit=link=${output}`, `-Cmetadata=${hash}`, `-Cextra-filename=-${hash}`,
            ...profileFlags(unit, program), arg`-Clinker=${tools.linker}`,
            ...(kind === "proc-macro" ? ["--extern", "proc_macro"] : []),
            ...externs.flatMap((dep) => ["--extern", arg`${dep.name}=${dep.made.output}`]),
            ...new Set([...libraries].map((library) => `-Ldependency=${dirname(library.path)}`)),
            ...unit.features.flatMap((feature) => ["--cfg", `feature="${feature}"`]),
            "--check-cfg", `cfg(docsrs,test)`, "--check-cfg", `cfg(feature, values(${features.join(", ")}))`,
            // As Cargo has it: what is wrong in crates of others is theirs.
            ...(member ? [] : ["--cap-lints", "allow"]),
          ],
          inputs: [...sources, ...libraries],
          outputs: [output],
          env: {
            ...packageEnv(p), CARGO_CRATE_NAME: crate, ...(member ? { CARGO_PRIMARY_PACKAGE: "1" } : {}),
            ...(kind === "bin" ? { CARGO_BIN_NAME: unit.target.name } : {}), CARGO: "cargo",
          },
          mnemonic: "rustc",
          message: `rustc ${p.name} ${p.version}${kind === "custom-build" ? " (build script)" : ""}`,
        });
        // A macro has all that it is made of in it.
        result = {
          unit, output, hash,
          libraries: new Set(kind === "proc-macro" ? [output] : [...libraries, output]),
          scripts: kind === "proc-macro" || program ? new Set() : scripts,
        };
        if (isRoot && !program) {
          const [made, others, native, flags] = ctx.outputs as readonly [Artifact, Artifact, Artifact, Artifact];
          ctx.copy(made, output);
          ctx.tree(others, Object.fromEntries([...libraries].map((library) => [basename(library.path), library])));
          // What links this elsewhere knows none of the build scripts' folders: it gets all of them, and where to search there.
          const folders = [...scripts];
          ctx.tree(native, Object.fromEntries(folders.map((script) => [basename(script.path), script])));
          ctx.run({
            args: ["sh", "-euc", SEARCH, "sh", flags, native, ...folders],
            outputs: [flags],
            mnemonic: "cargo",
            message: `link paths of ${p.name} ${p.version}`,
          });
        }
      }
      made.set(index, result);
      return result;
    };
    if (graph.roots.length !== 1) throw new Error(`cargo names ${graph.roots.length} crates to build, and one is wanted: say which as \`package\` or \`bin\``);
    for (const root of graph.roots) declare(root);
  },
});

const common = {
  manifest: attr.file(),
  lock: attr.file(),
  srcs: attr.files(),
  crates: attr.files(),
  /** The digest of each crate, by the name of its directory as Cargo gets to see it; and the directories' places among `crates`. */
  names: attr.list(attr.string()),
  checksums: attr.list(attr.string()),
  sources: attr.string(),
  cargo: attr.list(attr.string()),
};
const toolchains = { cargo: CargoToolchain };

function plan(ctx: any, outputs: readonly Artifact[]): void {
  const { attrs } = ctx;
  const { cargo, ...tools }: CargoTools = ctx.tools.cargo;
  const crates: Record<string, Artifact> = Object.fromEntries(attrs.names.map((name: string, at: number) => [name, attrs.crates[at]]));
  const list = ctx.file(`_cargo/${ctx.name}/crates`);
  ctx.write(list, attrs.names.map((name: string, at: number) => `${name} ${attrs.checksums[at]} ${attrs.crates[at].path}\n`).join(""));
  const sources = ctx.file(`_cargo/${ctx.name}/sources.toml`);
  ctx.write(sources, attrs.sources);
  const [units, packages] = [ctx.file(`_cargo/${ctx.name}/units.json`), ctx.file(`_cargo/${ctx.name}/packages.json`)];
  ctx.run({
    args: ["sh", "-euc", PLAN, "sh", cargo, tools.rustc, attrs.manifest, list, sources, units, packages, ...attrs.cargo],
    inputs: [attrs.lock, ...attrs.srcs, ...attrs.crates],
    outputs: [units, packages],
    mnemonic: "cargo",
    message: `cargo resolves ${ctx.label}`,
  });
  ctx.dynamic(compile, { reads: [units, packages], outputs, params: { units, packages, srcs: [attrs.manifest, ...attrs.srcs], crates, tools } });
}

const binary = rule({
  attrs: { ...common, bin: attr.string().optional() },
  provides: {},
  toolchains,
  analyze(ctx) {
    const program = ctx.file(ctx.name);
    const { bin } = ctx.attrs;
    plan({ ...ctx, attrs: { ...ctx.attrs, cargo: [...ctx.attrs.cargo, "--bin", bin ?? basename(ctx.name)] } }, [program]);
    ctx.expose("default", program);
    return {};
  },
});

const library = rule({
  attrs: { ...common, crate: attr.string() },
  provides: { rust: RustInfo },
  toolchains,
  analyze(ctx) {
    const crate = word(ctx.attrs.crate);
    const [made, others] = [ctx.file(`lib${crate}.rlib`), ctx.dir(`_cargo/${ctx.name}/libraries`)];
    const [native, flags] = [ctx.dir(`_cargo/${ctx.name}/native`), ctx.file(`_cargo/${ctx.name}/link-flags`)];
    plan({ ...ctx, attrs: { ...ctx.attrs, cargo: [...ctx.attrs.cargo, "--lib"] } }, [made, others, native, flags]);
    ctx.expose("default", made);
    return {
      rust: {
        crate, library: made,
        transitive: depset<Artifact>({ direct: [others] }), folders: depset<string>({ direct: [others.path] }),
        archives: depset<Artifact>({ order: "topological" }), linkopts: depset<readonly string[]>({ order: "topological" }),
        linkFlags: depset<Artifact>({ direct: [flags] }), linkFiles: depset<Artifact>({ direct: [native] }),
      },
    };
  },
});

/** A crate that the lock file names. */
interface Locked {
  readonly name: string;
  readonly version: string;
  readonly source: string;
  readonly checksum: string | undefined;
}

/** The crates of a lock file that are not here; it is written by Cargo, in one form. */
function locked(lock: string, text: string): readonly Locked[] {
  const field = (block: string, key: string): string | undefined => new RegExp(`^${key} = "(.*)"$`, "m").exec(block)?.[1];
  if (!/^version = [34]$/m.test(text)) throw new TypeError(`${lock} is no lock file of Cargo's, or one of before Cargo 1.53: make it anew by \`cargo generate-lockfile\``);
  return text.split("[[package]]").slice(1).flatMap((block) => {
    const [name, version, source] = [field(block, "name"), field(block, "version"), field(block, "source")];
    if (name === undefined || version === undefined || source === undefined) return [];
    return [{ name, version, source, checksum: field(block, "checksum") }];
  });
}

/** Where Cargo is to look for the crates from somewhere in a repository, instead. */
function replaced(sources: ReadonlySet<string>): string {
  const lines: string[] = ["[source.crates-io]", 'replace-with = "zako"'];
  for (const source of sources) {
    const [, url = "", query] = /^git\+([^?#]*)(?:\?([^#]*))?/.exec(source) ?? [];
    if (url === "") continue;
    const [key, value] = (query ?? "").split("=");
    lines.push(`[source."git+${url}${query === undefined ? "" : `?${query}`}"]`, `git = "${url}"`, 'replace-with = "zako"');
    if (key && value) lines.push(`${key} = "${decodeURIComponent(value)}"`);
  }
  return `${lines.join("\n")}\n`;
}

/** What is fetched for this package, by its address: several of its targets use one crate. */
const fetches = new Map<string, Target>();

/** A crate of a registry, whose bytes the lock file knows. */
function crateFrom(registry: string, name: string, version: string, checksum: string): Target {
  const url = /\{crate\}/.test(registry)
    ? registry.replaceAll("{crate}", name).replaceAll("{version}", version)
    : `${registry.replace(/\/$/, "")}/${name}/${name}-${version}.crate`;
  let target = fetches.get(url);
  if (target === undefined) {
    target = fetch({ url, name: `_cargo/crates/${name}-${version}`, integrity: `sha256-${base64(checksum)}`, extract: { strip: 1 } });
    fetches.set(url, target);
  }
  return target;
}

/** Hexadecimal digits as base64. */
function base64(hex: string): string {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const bits = [...hex].map((digit) => Number.parseInt(digit, 16).toString(2).padStart(4, "0")).join("");
  const text = (bits.match(/.{1,6}/g) ?? []).map((six) => digits[Number.parseInt(six.padEnd(6, "0"), 2)]).join("");
  return text.padEnd(Math.ceil(text.length / 4) * 4, "=");
}

const FIELDS = ["manifest", "lock", "srcs", "vendor", "crates", "registry", "package", "features", "defaultFeatures", "profile", "tags", "visibility", "deprecated"];

/** What both rules are given. */
function prepared(what: string, props: CargoProps): Record<string, unknown> {
  if (typeof props !== "object" || props === null) throw new TypeError(`${what} takes an object: { manifest, vendor }`);
  knownFields(what, props, [...FIELDS, ...(what === "cargoBinary" ? ["bin"] : [])], "attribute");
  const { manifest = "Cargo.toml", crates: more = [], registry, package: one, features = [], defaultFeatures = true, profile, vendor: given, lock: named, srcs, ...rest } = props;
  const lock = named ?? join(dirname(manifest), "Cargo.lock");
  const vendor = given ?? join(dirname(lock), "vendor");
  let text: string;
  try {
    text = readText(lock);
  } catch (cause) {
    throw new Error(`${what} needs the lock file ${lock}: run \`cargo generate-lockfile\` beside ${manifest} and commit it`, { cause });
  }
  const folders = new Set(glob(`${vendor}/*/Cargo.toml`, { allowEmpty: true }).map(dirname));
  const fetched = new Map<string, File>();
  if (Array.isArray(more)) {
    for (const file of more as readonly File[]) {
      const path = typeof file === "string" ? file : "path" in file ? file.path : undefined;
      if (path === undefined) throw new TypeError(`crates of ${what} takes targets by their names: { "NAME-VERSION": target }`);
      fetched.set(basename(path), file);
    }
  } else {
    for (const [full, file] of Object.entries(more)) fetched.set(full, file as File);
  }
  const [names, checksums, crates]: [string[], string[], File[]] = [[], [], []];
  const missing: string[] = [];
  const all = locked(lock, text);
  for (const { name, version, source, checksum } of all) {
    const full = `${name}-${version}`;
    const version_of = (folder: string): string | undefined => /^\s*version\s*=\s*"(.*)"/m.exec(readText(`${folder}/Cargo.toml`))?.[1];
    const folder = [`${vendor}/${full}`, `${vendor}/${name}`].find((f) => folders.has(f) && version_of(f) === version);
    const found = fetched.get(full) ?? (folder === undefined ? undefined : directory(folder));
    const file = found ?? (registry === undefined || checksum === undefined || !source.startsWith("registry+") ? undefined : crateFrom(registry, name, version, checksum));
    if (file === undefined) {
      missing.push(`${name} ${version}`);
      continue;
    }
    names.push(full);
    checksums.push(checksum ?? "-");
    crates.push(file);
  }
  if (missing.length > 0) {
    const few = missing.length > 3 ? [...missing.slice(0, 3), `${missing.length - 3} more`] : missing;
    throw new Error(`${lock} names ${few.join(", ")}, and ${missing.length === 1 ? "it is" : "they are"} not in ${vendor}/: run \`cargo vendor ${vendor}\`${registry === undefined ? ", or say where crates are fetched from as `registry`" : ""}`);
  }
  const cargo = [
    ...(one === undefined ? [] : ["--package", one]), ...(features.length === 0 ? [] : ["--features", features.join(",")]),
    ...(defaultFeatures ? [] : ["--no-default-features"]), ...(profile === undefined ? [] : ["--profile", profile]),
  ];
  const own = srcs ?? glob(["**/*.rs", "**/Cargo.toml"], { exclude: [`${vendor}/**`, join(dirname(manifest), "target/**")] }).filter((path) => path !== manifest);
  return { ...rest, manifest, lock, srcs: own, crates, names, checksums, sources: replaced(new Set(all.map((crate) => crate.source))), cargo };
}

/**
 * A program of a crate that has a `Cargo.lock`, `zako-out/PACKAGE/NAME`: its dependencies, with the features that Cargo resolves, procedural
 * macros and build scripts, each compiled by an action of its own. Their sources are in a folder that `cargo vendor` made, or fetched.
 *
 * ```ts
 * export const app = cargoBinary({ manifest: "Cargo.toml", vendor: "vendor", profile: "release" });
 * ```
 */
export function cargoBinary(props: CargoBinaryProps = {}): Target {
  return binary(prepared("cargoBinary", props) as any);
}

/**
 * The library of a crate that has a `Cargo.lock`, for `deps` of the rules in `zako:rust`.
 *
 * ```ts
 * import { rustBinary } from "zako:rust";
 * const parser = cargoLibrary({ manifest: "parser/Cargo.toml" });
 * export const tool = rustBinary({ srcs: ["tool.rs"], deps: [parser] });
 * ```
 */
export function cargoLibrary(props: CargoProps = {}): RustTarget {
  const given = prepared("cargoLibrary", props);
  const { manifest, vendor } = { manifest: given.manifest as string, vendor: props.vendor ?? "vendor" };
  const manifests = [manifest, ...glob("**/Cargo.toml", { exclude: [`${vendor}/**`, "**/target/**"], allowEmpty: true })];
  // The name by which code refers to it stands in the manifest of the package.
  for (const path of manifests) {
    const text = readText(path);
    const name = nameIn(text, "package");
    if (name === undefined || (props.package !== undefined && props.package !== name)) {
      if (props.package === undefined) break;
      continue;
    }
    return library({ ...given, crate: nameIn(text, "lib") ?? name } as any);
  }
  throw new TypeError(
    props.package === undefined
      ? `${manifest} is that of a Cargo workspace: say which of its packages as package: "NAME"`
      : `no Cargo.toml of this package is that of "${props.package}"`,
  );
}

/** The name that a section of a manifest gives. */
function nameIn(manifest: string, section: string): string | undefined {
  const found = new RegExp(`^\\[${section}\\][^\\n]*\\n((?:(?!\\[)[^\\n]*\\n?)*)`, "m").exec(manifest)?.[1];
  return /^\s*name\s*=\s*["'](.*)["']/m.exec(found ?? "")?.[1];
}

identify("zako:cargo", { compile, cargoBinary: binary, cargoLibrary: library });
