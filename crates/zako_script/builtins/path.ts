const parts = (path: string): string[] => path.split("/").filter((part) => part !== "" && part !== ".");

/** The path without `.`, `..`, empty parts and a trailing slash; a leading `/` or `..` that cannot be resolved stays. */
export function normalize(path: string): string {
  const rooted: boolean = path.startsWith("/");
  const out: string[] = [];
  for (const part of parts(path)) {
    if (part !== "..") out.push(part);
    else if (out.length > 0 && out[out.length - 1] !== "..") out.pop();
    else if (!rooted) out.push("..");
  }
  return (rooted ? "/" : "") + out.join("/") || (rooted ? "/" : ".");
}

/** The parts joined with `/` and normalised: `join("a", "../b.c")` is `b.c`. Empty parts count as nothing. */
export function join(...segments: string[]): string {
  return normalize(segments.filter((s) => s !== "").join("/"));
}

/** All but the last part: `dirname("a/b.c")` is `a`, `dirname("b.c")` is `.`. */
export function dirname(path: string): string {
  const clean: string = normalize(path);
  const at: number = clean.lastIndexOf("/");
  return at < 0 ? "." : at === 0 ? "/" : clean.slice(0, at);
}

/** The last part, without `suffix` if it ends so: `basename("a/b.c", ".c")` is `b`. */
export function basename(path: string, suffix: string = ""): string {
  const clean: string = normalize(path);
  const name: string = clean.slice(clean.lastIndexOf("/") + 1);
  return suffix !== "" && name !== suffix && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
}

/** The extension with its dot: `extname("a/b.tar.gz")` is `.gz`; empty when there is none, as for `.profile`. */
export function extname(path: string): string {
  const name: string = basename(path);
  const at: number = name.lastIndexOf(".");
  return at <= 0 ? "" : name.slice(at);
}

/** The path with another extension: `withExtension("a/b.c", ".o")` is `a/b.o`. */
export function withExtension(path: string, extension: string): string {
  const old: string = extname(path);
  return (old === "" ? path : path.slice(0, -old.length)) + extension;
}

/** How to get from the folder `from` to `to`: `relative("a/b", "a/c/d")` is `../c/d`. Both are relative, or both rooted. */
export function relative(from: string, to: string): string {
  if (from.startsWith("/") !== to.startsWith("/")) throw new TypeError("relative takes two relative or two rooted paths");
  const a: string[] = parts(normalize(from));
  const b: string[] = parts(normalize(to));
  if (a.includes("..")) throw new TypeError("relative cannot start from above its root");
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  return [...a.slice(same).map(() => ".."), ...b.slice(same)].join("/") || ".";
}
