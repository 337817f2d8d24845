// Freezes what a module holds once it has run: all that its top-level bindings lead to. What only a closure or a private field
// holds can't be reached, nor what V8 keeps by itself: the place of a `/g` pattern, the items of a typed array.

/** What harden.js shares: the objects that are frozen already, and who froze a collection. */
export interface Frozen {
  readonly seen: Set<object>;
  /** The module that holds a Map, Set, WeakMap, WeakSet or Date which is frozen. */
  holder(value: object): string | undefined;
}

let mark: (value: object, module: string) => void;
let holder: (value: object) => string | undefined;

class Given {
  constructor(value: object) {
    // What a constructor returns is what the fields of a class that extends it are put on.
    return value;
  }
}

/** A private field on objects that are not of this class: nothing is as fast to ask for, and nobody sees it. */
class Mark extends Given {
  #module: string;
  constructor(value: object, module: string) {
    super(value);
    this.#module = module;
  }
  static {
    mark = (value, module) => void new Mark(value, module);
    holder = (value) => (#module in value ? (value as Mark).#module : undefined);
  }
}

const seen = new Set<object>();

/** For harden.js alone. */
export const frozen: Frozen = { seen, holder };

const { apply, getOwnPropertyDescriptor, getPrototypeOf, ownKeys, preventExtensions } = Reflect;
const { freeze } = Object;
const { isView } = ArrayBuffer;
const eachEntry = Map.prototype.forEach;
const eachItem = Set.prototype.forEach;
const stateful = (pattern: RegExp): boolean => /[gy]/.test(pattern.flags);

/** Freezes what `bindings`, those of `module`, lead to. */
export function settle(module: string, bindings: readonly unknown[]): void {
  const open: object[] = [];
  const reach = (value: unknown): void => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.add(value);
    open.push(value);
  };
  for (const value of bindings) reach(value);
  for (let object = open.pop(); object !== undefined; object = open.pop()) {
    if (isView(object)) {
      preventExtensions(object);
      continue;
    }
    const each = object instanceof Map ? eachEntry : object instanceof Set ? eachItem : undefined;
    if (each !== undefined || object instanceof WeakMap || object instanceof WeakSet || object instanceof Date) mark(object, module);
    if (each !== undefined) {
      try {
        apply(each, object, [(value: unknown, key: unknown) => (reach(key), reach(value))]);
      } catch {
        // The prototype of a class of collections, which is none itself.
      }
    }
    reach(getPrototypeOf(object));
    for (const key of ownKeys(object)) {
      let property: PropertyDescriptor | undefined;
      try {
        property = getOwnPropertyDescriptor(object, key);
      } catch {
        // An export, of a module that is imported as a whole and has not run yet.
        continue;
      }
      reach(property?.value);
      reach(property?.get);
      reach(property?.set);
    }
    // `replace` sets where a pattern begins the next time, whether it is asked to or not.
    if (object instanceof RegExp && stateful(object)) {
      preventExtensions(object);
      continue;
    }
    try {
      freeze(object);
    } catch {
      // Another module's namespace, which is as frozen as can be.
      preventExtensions(object);
    }
  }
}
