import { attr, rule, toolchainType, type } from "zako:rule";
import { identify } from "zako:internal/identity";
import { basename, join } from "zako:path";
import type { Artifact, CommonProps, File, Sel, Target, ToolchainType } from "zako:rule";

/** The tools that make archives. */
export interface ArchiveTools {
  /** GNU tar. */
  readonly tar: Artifact | undefined;
  /** The compressors, for `tar.gz`, `tar.xz` and `tar.zst`. */
  readonly gzip: Artifact | undefined;
  /** See `gzip`. */
  readonly xz: Artifact | undefined;
  /** See `gzip`. */
  readonly zstd: Artifact | undefined;
  /** Info-ZIP's `zip`. */
  readonly zip: Artifact | undefined;
}

/** The kind of toolchain that {@link archive} uses. The one that serves unless another is registered finds the tools by their names. */
export const ArchiveToolchain: ToolchainType<ArchiveTools> = toolchainType("archive", type<ArchiveTools>());

/** The formats of archives. */
export type ArchiveFormat = "tar" | "tar.gz" | "tar.xz" | "tar.zst" | "zip";

/** What {@link archive} takes. */
export interface ArchiveProps extends CommonProps {
  /** The files and directories that are in it, by their names in `folder`. */
  srcs?: Sel<readonly File[]>;
  /** Files by their paths in `folder`: `{ "bin/hello": hello }`. A target stands for the one file that it builds. */
  entries?: Readonly<Record<string, File>>;
  /** The folder of the archive in which all is. Default none. */
  folder?: string;
  /** The format. Default `tar.gz`. */
  format?: ArchiveFormat;
}

const COMPRESSORS: Readonly<Record<string, "gzip" | "xz" | "zstd">> = { "tar.gz": "gzip", "tar.xz": "xz", "tar.zst": "zstd" };
const FLAGS = { gzip: "-n9", xz: "-6", zstd: "-19" } as const;

// Times, owners and the order of files are fixed, so equal files give equal bytes.
const TAR = '"$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu --mode=u=rwX,go=rX -C "$3" -cf - .';
const ZIP = 'cp -R "$2" "$TMPDIR/tree"; chmod -R u=rwX,go=rX "$TMPDIR/tree"; out="$PWD/$3"; cd "$TMPDIR/tree"; find . -exec touch -h -d 1980-01-01T00:00:00Z {} +; ' +
  'find . -mindepth 1 | LC_ALL=C sort | TZ=UTC "$1" -X -q -y "$out" -@';

const made = rule({
  attrs: {
    srcs: attr.files().default([]),
    entries: attr.dict(attr.file()).default({}),
    folder: attr.string().default(""),
    format: attr.enum("tar", "tar.gz", "tar.xz", "tar.zst", "zip").default("tar.gz"),
  },
  provides: {},
  toolchains: { archive: ArchiveToolchain },
  analyze(ctx) {
    const { srcs, entries, folder, format } = ctx.attrs;
    const tools = ctx.tools.archive;
    const need = (name: keyof ArchiveTools): Artifact => {
      const tool = tools[name];
      if (tool === undefined) throw new TypeError(`${ctx.label} is a ${format} archive, and \`${name}\` is not on this machine: install it (apt install ${name === "xz" ? "xz-utils" : name})`);
      return tool;
    };
    const files: Record<string, Artifact> = {};
    const put = (path: string, file: Artifact): void => {
      const at = join(folder, path);
      if (Object.hasOwn(files, at)) throw new TypeError(`${ctx.label} has two files at ${at}; name one of them under entries`);
      files[at] = file;
    };
    for (const file of srcs) put(basename(file.path), file);
    for (const path of Object.keys(entries)) put(path, entries[path] as Artifact);
    const tree = ctx.dir(`_tree/${ctx.name}`);
    ctx.tree(tree, files);
    const out = ctx.file(`${ctx.name}.${format}`);
    const common = { inputs: [tree], outputs: [out], mnemonic: "archive", message: `archive ${out.path}` };
    const compressor = COMPRESSORS[format];
    if (format === "zip") ctx.run({ args: ["sh", "-euc", ZIP, "sh", need("zip"), tree, out], ...common });
    else if (compressor === undefined) ctx.run({ args: ["sh", "-euc", `${TAR} > "$2"`, "sh", need("tar"), out, tree], ...common });
    else ctx.run({ args: ["sh", "-euc", `${TAR} | "$4" ${FLAGS[compressor]} > "$2"`, "sh", need("tar"), out, tree, need(compressor)], ...common });
    ctx.expose("default", out);
    return {};
  },
});

/**
 * An archive, `zako-out/PACKAGE/NAME.FORMAT`: the same bytes for the same files, whenever and wherever it is made.
 *
 * ```ts
 * const hello = ccBinary({ srcs: ["hello.c"] });
 * export const release = archive({ entries: { "bin/hello": hello }, srcs: ["README"], folder: "hello-1.0" });
 * ```
 */
export function archive(props: ArchiveProps): Target {
  return made(props as any);
}

identify("zako:archive", { archive: made });
