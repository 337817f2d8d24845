// Which rule is which, and which option: they are known by the module and the export that they are found under.

/** A rule's definition, as `rule` was given it. */
export interface Definition {
  attrs: Record<string, any>;
  provides: Record<string, { id: string }>;
  toolchains?: Record<string, { toolchain: string }>;
  outputs?: readonly string[];
  analyze(ctx: any): Record<string, unknown>;
}

/** A dynamic step's definition, as `dynamic` was given it. */
export interface StepDefinition {
  run(ctx: any): void;
}

/** A rule: its definition, and its identity once its module has run. */
export interface RuleRecord {
  definition: Definition;
  step?: undefined;
  identity?: { module: string; export: string };
}

/** The same for a dynamic step. */
export interface StepRecord {
  definition?: undefined;
  step: StepDefinition;
  identity?: { module: string; export: string };
}

const records = new WeakMap<object, { identity?: { module: string; export: string } }>();
const rules = new Map<string, RuleRecord | StepRecord>();

/** Remembers that `fn` is a rule. */
export function remember(fn: object, definition: Definition): RuleRecord {
  const record: RuleRecord = { definition };
  records.set(fn, record);
  return record;
}

/** Remembers that `object` is known by where it is exported; `record` is told. */
export function token(object: object, record: { identity?: { module: string; export: string } }): void {
  records.set(object, record);
}

/** Remembers that `value` is a dynamic step. */
export function rememberStep(value: object, step: StepDefinition): void {
  const record: StepRecord = { step };
  records.set(value, record);
}

/** What is known of a value that may be a dynamic step. */
export function stepOf(value: unknown): StepRecord | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const record = records.get(value) as StepRecord | undefined;
  return record?.step === undefined ? undefined : record;
}

/** Names the rules, steps and options among a module's exports. */
export function identify(module: string, namespace: Record<string, unknown>): void {
  for (const name of Object.keys(namespace)) {
    const value = namespace[name];
    if ((typeof value !== "function" && typeof value !== "object") || value === null) continue;
    const record = records.get(value);
    if (record === undefined) continue;
    // A re-export keeps the identity that the rule's own module gave it.
    record.identity ??= { module, export: name };
    if ("definition" in record || "step" in record) rules.set(`${module}#${name}`, record as RuleRecord | StepRecord);
  }
}

/** The rule of that identity. */
export function find(module: string, name: string): RuleRecord | undefined {
  const found = rules.get(`${module}#${name}`);
  return found?.definition === undefined ? undefined : found;
}

/** The dynamic step of that identity. */
export function findStep(module: string, name: string): StepRecord | undefined {
  const found = rules.get(`${module}#${name}`);
  return found?.step === undefined ? undefined : found;
}
