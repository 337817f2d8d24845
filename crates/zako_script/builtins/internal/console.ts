// `console` for build scripts: what is logged goes into the build's events, with the line that logged it.

import { callAt } from "zako:internal/host";
import { isArtifact, isTarget } from "zako:internal/target";

/** Text of a value for a person; never runs the value's own code. */
export function show(value: unknown, depth: number = 0): string {
  if (typeof value === "string") return depth === 0 ? value : JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "[function]";
  if (typeof value === "symbol") return value.toString();
  if (typeof value !== "object" || value === null) return `${value}`;
  if (isTarget(value)) return "[target]";
  if (isArtifact(value)) return "[file]";
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (depth >= 4) return Array.isArray(value) ? "[…]" : "{…}";
  if (Array.isArray(value)) return `[${value.map((v) => show(v, depth + 1)).join(", ")}]`;
  if (value instanceof Map) return `Map(${value.size})`;
  if (value instanceof Set) return `Set(${value.size})`;
  const fields = Object.entries(Object.getOwnPropertyDescriptors(value))
    .filter(([, d]) => d.enumerable)
    .map(([key, d]) => `${key}: ${"value" in d ? show(d.value, depth + 1) : "[accessor]"}`);
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
}

export const logAt = (level: string, values: readonly unknown[]): void => {
  callAt("log", { level, message: values.map((v) => show(v)).join(" ") });
};

const quiet = new Set(["debug", "trace"]);
const console: Record<string, (...values: unknown[]) => void> = {};
for (const name of ["debug", "trace", "log", "info", "warn", "error"]) {
  const level = quiet.has(name) ? "debug" : name === "log" ? "info" : name;
  console[name] = (...values) => logAt(level, values);
}
console.assert = (good, ...values) => {
  if (!good) logAt("error", ["Assertion failed:", ...values]);
};
Object.defineProperty(globalThis, "console", { value: Object.freeze(console), enumerable: false, configurable: true, writable: true });
