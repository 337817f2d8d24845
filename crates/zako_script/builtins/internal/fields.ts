// What objects that builtins take may have: a name too much is a misspelt one most often, so it is an error and never overlooked.

import { call } from "zako:internal/host";

/** What is probably meant by `word`, or all that there is. */
export function suggestion(word: string, words: readonly string[]): string {
  const near = call("nearest", { word, words });
  return near ? `; did you mean "${near}"?` : `; it has ${words.length === 0 ? "none" : words.join(", ")}`;
}

/** Refuses what `given` has besides `names`; `what` is whose it is, `noun` what it calls them. */
export function knownFields(what: string, given: object, names: readonly string[], noun: string = "option"): void {
  for (const key of Object.keys(given)) {
    if (names.includes(key)) continue;
    const message = `${what} has no ${noun} "${key}"${suggestion(key, names)}`;
    try {
      // So that the error stands at the name, where it is one of the call's object.
      call("blame", { path: [{ name: key }], message });
    } catch {
      // Where nobody asks for that it is told at the call.
    }
    throw new TypeError(message);
  }
}
