// One of everything whose answer could tell where, when, or beside what a script runs. What it exports must be the same
// bytes in every process, on every thread, in every time zone and language.

import { blake3, sha256 } from "zako:hash";

const dates = [0, 1e12, -1e12, 8.64e15].map((time) => new Date(time));
const numbers = Array.from({ length: 200 }, (_, n) => (n - 100) * 1.37);
const words = ["z", "ä", "a", "Z", "é", "e", "ß", "ss", "I", "i", "ı", "İ", "10", "9", "中", "𝒳"];

const text = (value: unknown): string => {
  if (typeof value === "symbol" || typeof value === "function") return value.toString();
  if (typeof value !== "object" || value === null) return String(value);
  return JSON.stringify(value);
};
const tried = (f: () => unknown): string => {
  try {
    return text(f());
  } catch (error) {
    return `${error}\n${(error as Error).stack}`;
  }
};

export const time: unknown = dates.flatMap((date) => [
  date.toString(), date.toDateString(), date.toTimeString(), date.toISOString(), date.toUTCString(), date.toLocaleString(),
  date.toLocaleDateString(), date.toLocaleTimeString(), date.getHours(), date.getDate(), date.getTimezoneOffset(), `${date}`,
  date.toLocaleString("de-DE", { timeZone: "Asia/Kolkata" }), new Date(date.getFullYear(), date.getMonth(), 1, 12).getTime(),
]);
export const parsed: unknown = ["2024-03-31", "2024-03-31T02:30", "2024-10-27T02:30:00", "2024-07-01T00:00Z", "1 Jan 2020"].map(
  (date) => tried(() => new Date(date).getTime()),
);
export const locale: unknown = [
  [...words].sort(), [...words].sort((a, b) => a.localeCompare(b)), words.map((w) => w.toLocaleUpperCase()),
  words.map((w) => w.toLocaleLowerCase("tr")), words.map((w) => w.normalize("NFD").length), (1234567.891).toLocaleString(),
  (12345678901234567890n).toLocaleString(), [1.5, 2].toLocaleString(), new Float64Array([1.5, 2]).toLocaleString(),
];
export const sums: unknown = numbers.map((n) => [
  Math.sin(n), Math.cos(n), Math.tan(n), Math.exp(n), Math.log(n + 101), Math.pow(1.1, n), Math.sinh(n / 50), Math.cbrt(n),
  Math.hypot(n, 1), Math.atan2(n, 3), n.toString(36), n.toFixed(7), n.toExponential(), n.toPrecision(11), n % 1.1,
].map(String).join(" "));
export const order: unknown = [
  Object.keys({ b: 1, a: 2, 2: 3, 1: 4, ["-1"]: 5 }), [...new Set(words), ...new Map(words.map((w) => [w, 1])).keys()],
  Reflect.ownKeys(globalThis).map(String), Object.keys(Object.getOwnPropertyDescriptors(Math)),
  [5, 1, 4].toSorted(), Object.groupBy(words, (w) => w.length > 1 ? "many" : "one"),
];
export const errors: unknown = [
  () => (null as any).x, () => (undefined as any)(), () => JSON.parse("{"), () => new Array(-1), () => decodeURI("%"),
  () => BigInt(1.5), () => Symbol() + "", () => [].reduce((a) => a), () => new Proxy({}, null as any), () => (1).toFixed(101),
  () => Math.random(), () => Date.now(), () => new Date(), () => eval("1"), () => new Uint8Array(-1),
].map(tried);
export const functions: unknown = [tried, Math.sin, class A { #b = 1; c() { return this.#b; } }, Date, Object].map(String);
export const digests: unknown = [blake3(words.join()), sha256(words.join())];
const ticks: string[] = [];
const tick = async (name: string, n: number) => {
  for (let at = 0; at < n; at++) {
    ticks.push(`${name}${at}`);
    await null;
  }
};
await Promise.all([tick("a", 3), tick("b", 5), (async () => { for await (const n of [1, 2, 3]) ticks.push(`${n}`); })()]);
export { ticks };

// Enough garbage that the collector runs, and enough work that code is optimised meanwhile.
const seen = new WeakMap<object, number>();
export const hash: number = (() => {
  let hash = 17;
  for (let n = 0; n < 300_000; n++) {
    const object = { n, s: `${n}` };
    seen.set(object, n);
    hash = (Math.imul(hash, 31) + (seen.get(object) ?? 0) + object.s.length) | 0;
  }
  return hash;
})();
