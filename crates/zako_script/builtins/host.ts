import { call as callHost } from "zako:internal/host";

/**
 * Calls a function that the embedder registered with the builtin module. For builtin modules only; what it answers
 * is recorded, and what was evaluated with it is evaluated again when the answer changes.
 */
export function call(name: string, args: unknown): any {
  return callHost("function", { name, args: args === undefined ? null : args });
}
