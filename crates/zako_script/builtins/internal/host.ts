// The one door to the engine: JSON in, JSON out, on this thread, at once.

declare const Deno: {
  core: {
    ops: {
      op_zako_call(name: string, args: string): string;
      op_zako_call_at(name: string, args: string): string;
      op_zako_bytes(name: string, args: string, data: Uint8Array): Uint8Array;
    };
  };
};
const { op_zako_call, op_zako_call_at, op_zako_bytes } = Deno.core.ops;
const { parse, stringify } = JSON;

/** Calls the engine's function `name`. */
export function call(name: string, args: unknown): any {
  const text: string = op_zako_call(name, stringify(args) ?? "null");
  return text === "" ? undefined : parse(text);
}

/** The same, telling the engine which line of the user's code led here. */
export function callAt(name: string, args: unknown): any {
  const text: string = op_zako_call_at(name, stringify(args) ?? "null");
  return text === "" ? undefined : parse(text);
}

/** Calls the engine's function `name` with bytes, and takes bytes. */
export function bytes(name: string, args: unknown, data: Uint8Array): Uint8Array {
  return op_zako_bytes(name, stringify(args) ?? "null", data);
}
