// What stands for options of the configuration, settings of them and choices between values by them. Like targets
// (target.ts), their state is private: a script can pass them on, but not make its own.

import { suggestion } from "zako:internal/fields";
import { callAt } from "zako:internal/host";
import { token } from "zako:internal/identity";

/** What an option's values are to a script: strings, or booleans. */
export type Kind = "choice" | "flag";

/** What an option is made of; its values are text here, also a flag's. */
export interface OptionState {
  kind: Kind;
  values: readonly string[];
  default: string;
  /** What the command line calls it, when that is not its export's name. */
  name: string | null;
  /** What to do instead of setting it, when it is deprecated. */
  deprecated: string | null;
  /** Where it is exported, once that is known. */
  record: { identity?: { module: string; export: string } };
}

/** An option, or where one is exported. */
type OptionRef = OptionObject | string;

/** One value for one option. */
type Entry = readonly [option: OptionRef, value: string];

let optionState: (o: OptionObject) => OptionState;
let settingEntries: (s: SettingObject) => readonly Entry[];
let selectState: (s: SelectObject) => { option: OptionRef; cases: readonly (readonly [string, unknown])[] };

// Asks for the private state itself: a prototype can be borrowed.
let isOption: (v: unknown) => v is OptionObject;
let isSetting: (v: unknown) => v is SettingObject;
let isSelect: (v: unknown) => v is SelectObject;

const { freeze } = Object;

/** What was warned of here already. */
const warned = new Set<string>();

class OptionObject {
  #state: OptionState;
  static {
    optionState = (o) => o.#state;
    isOption = (v): v is OptionObject => typeof v === "object" && v !== null && #state in v;
  }
  constructor(state: OptionState) {
    this.#state = state;
    freeze(this);
  }
  is(value: unknown): SettingObject {
    const { kind, values, deprecated } = this.#state;
    if (typeof value !== (kind === "flag" ? "boolean" : "string") || !values.includes(`${value}`)) {
      throw new TypeError(`${shownOption(this)} has no value ${JSON.stringify(value)}${suggestion(`${value}`, values)}`);
    }
    if (deprecated !== null) {
      const message = `${shownOption(this)} is deprecated: ${deprecated}`;
      if (!warned.has(message)) callAt("log", { level: "warn", message });
      warned.add(message);
    }
    return new SettingObject([[this, `${value}`]]);
  }
}

class SettingObject {
  #entries: readonly Entry[];
  static {
    settingEntries = (s) => s.#entries;
    isSetting = (v): v is SettingObject => typeof v === "object" && v !== null && #entries in v;
  }
  constructor(entries: readonly Entry[]) {
    this.#entries = freeze([...entries]);
    freeze(this);
  }
}

class SelectObject {
  #option: OptionRef;
  #cases: readonly (readonly [string, unknown])[];
  static {
    selectState = (s) => ({ option: s.#option, cases: s.#cases });
    isSelect = (v): v is SelectObject => typeof v === "object" && v !== null && #cases in v;
  }
  constructor(option: OptionRef, cases: readonly (readonly [string, unknown])[]) {
    this.#option = option;
    this.#cases = freeze([...cases]);
    freeze(this);
  }
  [Symbol.toPrimitive](): never {
    throw new TypeError("what select gives cannot be turned into a string: which case it is depends on the configuration");
  }
}
for (const c of [OptionObject, SettingObject, SelectObject]) {
  // No way from an instance to what makes others.
  delete (c.prototype as { constructor?: unknown }).constructor;
  freeze(c.prototype);
  freeze(c);
}

export { isOption, isSelect, isSetting };
export { optionState, selectState };
export type { OptionObject, SelectObject, SettingObject };

/** What messages call the option. */
export function shownOption(option: OptionObject): string {
  const { identity } = optionState(option).record;
  return identity === undefined ? "the option" : `the option ${identity.export}`;
}

/** A new option, which gets its identity from the module that exports it. */
export function newOption(state: Omit<OptionState, "record">): OptionObject {
  const made = { ...state, values: freeze([...state.values]), record: {} as OptionState["record"] };
  const option = new OptionObject(made);
  token(option, made.record);
  return option;
}

/** Where the option is exported, as `//build/options.config.ts#mode`. */
export function optionId(option: OptionRef): string {
  if (typeof option === "string") return option;
  const { identity } = optionState(option).record;
  if (identity === undefined) {
    throw new TypeError("this option has no name: export it from the *.config.ts file that makes it");
  }
  const { module, export: name } = identity;
  if (!module.startsWith("zako:") && !module.endsWith(".config.ts")) {
    throw new TypeError(`the option ${name} is made in ${module}; options belong into files whose names end in .config.ts`);
  }
  return `${module}#${name}`;
}

/** All of `settings` as one; those later in the list count. */
export function joinSettings(settings: readonly unknown[], what: string): SettingObject {
  return new SettingObject(
    settings.flatMap((setting) => {
      if (!isSetting(setting)) throw new TypeError(`${what} takes settings, as mode.is("fast")`);
      return settingEntries(setting);
    }),
  );
}

/** The setting as data: where each option is exported, and its value. */
export function settingData(setting: SettingObject): (readonly [string, string])[] {
  return settingEntries(setting).map(([option, value]) => [optionId(option), value] as const);
}

/** The setting as conditions: where each option is exported, the value that it must have, and whether that is its default. */
export function settingNeeds(setting: SettingObject): { option: string; value: string; standard: boolean }[] {
  return settingEntries(setting).map(([option, value]) => ({
    option: optionId(option),
    value,
    standard: typeof option !== "string" && optionState(option).default === value,
  }));
}

/** A choice between `cases`, by the option's value. */
export const newSelect = (option: OptionRef, cases: readonly (readonly [string, unknown])[]): SelectObject =>
  new SelectObject(option, cases);

/** The select with each case as `change` makes it. */
export function mapSelect(select: SelectObject, change: (value: unknown, name: string) => unknown): SelectObject {
  const { option, cases } = selectState(select);
  return new SelectObject(option, cases.map(([name, value]) => [name, change(value, name)] as const));
}

/** What another realm made of an option, a setting or a select (see encode.ts). */
export function revivedOption(data: { id: string; name: string | null; kind: Kind; values: string[]; default: string; deprecated: string | null }): OptionObject {
  const at = data.id.lastIndexOf("#");
  const identity = { module: data.id.slice(0, at), export: data.id.slice(at + 1) };
  return new OptionObject({ kind: data.kind, name: data.name, default: data.default, deprecated: data.deprecated, values: freeze(data.values), record: { identity } });
}

/** The same of a setting. */
export const revivedSetting = (entries: readonly Entry[]): SettingObject => new SettingObject(entries);
