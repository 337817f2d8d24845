// Runs the body of a script action with the files that its task declared.

import { bytes, call } from "zako:internal/host";

type Body = (ctx: any) => void | Promise<void>;

const bodies = new WeakMap<object, Body>();

/** Remembers which body a script handle stands for. */
export function remember(handle: object, body: Body): void {
  bodies.set(handle, body);
}

const none: Uint8Array = new Uint8Array(0);

/** Runs the body behind a script file's default export. */
export async function run(exported: unknown): Promise<void> {
  const body = typeof exported === "object" && exported !== null ? bodies.get(exported) : undefined;
  if (body === undefined) {
    throw new TypeError("a script file's default export must be script((ctx) => { … })");
  }
  const { inputs, out, outputs, env } = call("scriptContext", {});
  const readText = (path: string): string => call("readText", { path });
  await body(
    Object.freeze({
      inputs: Object.freeze(inputs),
      out: Object.freeze(out),
      outputs: Object.freeze(outputs),
      env: Object.freeze(env),
      readText,
      readBytes: (path: string) => bytes("readBytes", { path }, none),
      readJson: (path: string) => JSON.parse(readText(path)),
      writeText: (path: string, text: string) => void call("writeText", { path, text: `${text}` }),
      writeBytes: (path: string, data: Uint8Array) => void bytes("writeBytes", { path }, data),
    }),
  );
}
