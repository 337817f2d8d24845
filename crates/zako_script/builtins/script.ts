import { remember } from "zako:internal/script_body";

/** What a script action is given: its declared files, and nothing else. */
export interface ScriptContext {
  /** The inputs' paths relative to the input root, in the order of the task's `inputs`. */
  readonly inputs: readonly string[];
  /** The outputs' paths by name; for a list of outputs, by their paths. */
  readonly out: Readonly<Record<string, string>>;
  /** The outputs' paths, in order. */
  readonly outputs: readonly string[];
  /** The task's `env`. */
  readonly env: Readonly<Record<string, string>>;
  /** The text of an input (UTF-8). */
  readText(path: string): string;
  /** The bytes of an input. */
  readBytes(path: string): Uint8Array;
  /** The JSON in an input. */
  readJson(path: string): any;
  /** Writes an output: the declared file itself, or a file below a declared directory. */
  writeText(path: string, text: string): void;
  /** Writes an output's bytes. */
  writeBytes(path: string, data: Uint8Array): void;
}

/** A script action's body, as {@link script} makes it. */
export interface Script {
  /** @ignore For type inference only. */
  readonly "~script": true;
}

/**
 * The body of a script action. Export it as the default of a `*.script.ts` file, and use it in a task:
 * `task({ script: gen, inputs: […], outputs: { … } })`.
 *
 * ```ts
 * export default script((ctx) => {
 *   ctx.writeText(ctx.out.header, `#define LINES ${ctx.readText(ctx.inputs[0]).split("\n").length}\n`);
 * });
 * ```
 */
export function script(body: (ctx: ScriptContext) => void | Promise<void>): Script {
  if (typeof body !== "function") throw new TypeError("script takes a function");
  const handle: any = Object.freeze({ "~script": true });
  remember(handle, body);
  return handle;
}
