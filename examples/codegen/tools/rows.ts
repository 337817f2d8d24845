// A library file: plain functions that scripts and packages may share.

/** A line of a table. */
export interface Row {
  readonly symbol: string;
  readonly value: number;
  readonly text: string;
}

/** The rows of tab-separated text; `#` starts a comment line. */
export function rows(text: string, path: string): Row[] {
  return text
    .split("\n")
    .map((line, index) => ({ line, index }))
    .filter(({ line }) => line.trim() !== "" && !line.startsWith("#"))
    .map(({ line, index }) => {
      const [symbol, value, ...rest] = line.split("\t");
      if (rest.length !== 1 || !/^[A-Z][A-Z0-9_]*$/.test(symbol) || !/^\d+$/.test(value)) {
        throw new Error(`${path}:${index + 1}: expected SYMBOL<tab>number<tab>text, found ${JSON.stringify(line)}`);
      }
      return { symbol, value: Number(value), text: rest[0] };
    });
}
