// Everything that a script can reach without asking: one line a property, with what it is. The walk goes by own
// names and symbols, values, getters, setters and prototypes, from the global object, from what only syntax makes, and
// from what the builtin modules export, which the test lists in a module of its own.

import { BUILTINS } from "./builtins.ts";


const roots: [string, unknown][] = [
  ["globalThis", globalThis],
  ["%function%", Object.getPrototypeOf(function () {})],
  ["%asyncFunction%", Object.getPrototypeOf(async function () {})],
  ["%generatorFunction%", Object.getPrototypeOf(function* () {})],
  ["%asyncGeneratorFunction%", Object.getPrototypeOf(async function* () {})],
  ["%arrayIterator%", Object.getPrototypeOf([][Symbol.iterator]())],
  ["%mapIterator%", Object.getPrototypeOf(new Map()[Symbol.iterator]())],
  ["%setIterator%", Object.getPrototypeOf(new Set()[Symbol.iterator]())],
  ["%stringIterator%", Object.getPrototypeOf(""[Symbol.iterator]())],
  ["%regexpStringIterator%", Object.getPrototypeOf("".matchAll(/x/g))],
  ["%iteratorHelper%", Object.getPrototypeOf([].values().map((x) => x))],
  ["%wrappedIterator%", Object.getPrototypeOf(Iterator.from({ next: () => ({ done: true, value: 0 }) } as any))],
  ["%stack%", Object.getOwnPropertyDescriptor(new Error("x"), "stack")],
  ["%arguments%", (function (..._: unknown[]) { return Object.getOwnPropertyDescriptors(arguments); })(1)],
  ["%match%", Object.getOwnPropertyDescriptors(/(?<a>x)/d.exec("x") as any)],
  ["%template%", ((strings: TemplateStringsArray) => strings)`a${1}b`],
  ["import.meta", import.meta],
  ...BUILTINS,
];

const seen = new Map<unknown, string>();
const queue: [string, object][] = [];
const lines: string[] = [];

const named = (key: PropertyKey): string => (typeof key === "symbol" ? `[${key.description}]` : `${String(key)}`);

/** What a value is, in a word or two; objects go onto the queue under `at`. */
function word(at: string, value: unknown): string {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) {
    return typeof value === "string" ? JSON.stringify(value) : String(value);
  }
  const known = seen.get(value);
  if (known !== undefined) return `= ${known}`;
  seen.set(value, at);
  queue.push([at, value]);
  const what = typeof value === "function" ? `function(${value.length})` : "object";
  const fixed = Object.isFrozen(value) || Object.prototype.toString.call(value) === "[object Module]";
  return fixed ? what : `${what} NOT FROZEN`;
}

for (const [name, root] of roots) lines.push(`${name}: ${word(name, root)}`);
for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
  const [at, object] = next;
  const proto: unknown = Object.getPrototypeOf(object);
  const plain = typeof object === "function" ? Function.prototype : Object.prototype;
  if (proto !== plain) lines.push(`${at} inherits: ${word(`${at}.__proto__`, proto)}`);
  const keys = Reflect.ownKeys(object).filter((key) => typeof object !== "function" || (key !== "length" && key !== "name"));
  for (const key of keys.sort((a, b) => (named(a) < named(b) ? -1 : 1))) {
    const descriptor = Object.getOwnPropertyDescriptor(object, key) as PropertyDescriptor;
    const inner = at === "globalThis" ? named(key) : `${at}.${named(key)}`;
    if ("value" in descriptor) lines.push(`${inner}: ${word(inner, descriptor.value)}`);
    if (descriptor.get) lines.push(`${inner} get: ${word(`${inner}(get)`, descriptor.get)}`);
    if (descriptor.set) lines.push(`${inner} set: ${word(`${inner}(set)`, descriptor.set)}`);
  }
}

export const reached: string = `${lines.join("\n")}\n`;
