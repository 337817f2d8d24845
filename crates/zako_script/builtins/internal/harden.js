// Turns V8's default realm into zako's hermetic one. Runs once, when the snapshot is made; `__zako_seal`,
// which it leaves behind, finishes the work in each realm that is restored from it.
//
// What goes: everything that tells a script of time, place, chance, locale or garbage collection.
// What stays is frozen, so that no module can change what another one sees.
"use strict";
(() => {
  const { defineProperty, freeze, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const ownKeys = Reflect.ownKeys;
  const resolved = Promise.resolve();

  // Fails closed: a global that a newer V8 brings is not there until it is listed here.
  const keep = new Set([
    "AggregateError", "Array", "ArrayBuffer", "AsyncDisposableStack", "BigInt", "BigInt64Array", "BigUint64Array",
    "Boolean", "DataView", "Date", "DisposableStack", "Error", "EvalError", "Float16Array", "Float32Array",
    "Float64Array", "Function", "Infinity", "Int16Array", "Int32Array", "Int8Array", "Iterator", "JSON", "Map",
    "Math", "NaN", "Number", "Object", "Promise", "Proxy", "RangeError", "ReferenceError", "Reflect", "RegExp",
    "Set", "String", "SuppressedError", "Symbol", "SyntaxError", "TypeError", "URIError", "Uint16Array",
    "Uint32Array", "Uint8Array", "Uint8ClampedArray", "WeakMap", "WeakSet", "console", "decodeURI",
    "decodeURIComponent", "encodeURI", "encodeURIComponent", "escape", "eval", "globalThis", "isFinite", "isNaN",
    "parseFloat", "parseInt", "queueMicrotask", "undefined", "unescape",
  ]);
  // V8 installs its newest features (and `Error.stackTraceLimit`) into every new context, on top of the snapshot, and
  // crashes where it cannot. So globals are deleted, and what gets new properties is frozen, by `__zako_seal`. This list is
  // complete, or each evaluation crashes: an upgrade of V8 whose tests crash extends it.
  const AsyncIteratorPrototype = getPrototypeOf(getPrototypeOf((async function* () {}).prototype));
  const extended = new Set([
    DataView.prototype, Error, Iterator, Iterator.prototype, Map.prototype, Math, Promise, RegExp, Uint8Array,
    Uint8Array.prototype, WeakMap.prototype, AsyncIteratorPrototype,
  ]);
  const late = [];

  const refuse = (what, instead) => {
    throw new TypeError(`${what} is not available in build scripts: ${instead}`);
  };
  const replace = (object, key, value) =>
    defineProperty(object, key, { value, writable: true, enumerable: false, configurable: true });
  const named = (name, length, fn) => {
    defineProperty(fn, "name", { value: name, configurable: true });
    defineProperty(fn, "length", { value: length, configurable: true });
    return fn;
  };
  const method = (object, key, fn) =>
    replace(object, key, named(typeof key === "symbol" ? `[${key.description}]` : key, fn.length, fn));

  // Chance.
  method(Math, "random", { random() { refuse("Math.random", "a build must give the same result every time"); } }.random);

  // Time and place. A Date is a value in UTC; what reads the clock or the time zone is refused or made UTC.
  const clock = "a build must not depend on when it runs; pass a time in with -D or an action's env";
  const NativeDate = Date;
  const iso = /^(?:\d{4}|[+-]\d{6})(?:-\d\d(?:-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;
  const parse = (text) => {
    text = `${text}`;
    const match = iso.exec(text);
    if (match === null) {
      throw new TypeError(`Date takes ISO 8601 text only, so that it means the same everywhere; got ${JSON.stringify(text)}`);
    }
    return NativeDate.parse(text.includes("T") && match[1] === undefined ? `${text}Z` : text);
  };
  const UTC = NativeDate.UTC;
  const { getTime } = NativeDate.prototype;
  const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";
  // ECMA-262's ToPrimitive without a preferred type.
  const primitive = (object) => {
    const exotic = object[Symbol.toPrimitive];
    const ways = exotic === undefined || exotic === null ? [object.valueOf, object.toString] : [exotic];
    for (const way of ways) {
      const value = typeof way === "function" ? Reflect.apply(way, object, ["default"]) : object;
      if (!isObject(value)) return value;
    }
    throw new TypeError("Cannot convert object to primitive value");
  };
  function ZakoDate(...args) {
    if (new.target === undefined) refuse("Date()", clock);
    if (args.length === 0) refuse("new Date() without a time", clock);
    let time;
    if (args.length > 1) {
      time = UTC(...args);
    } else {
      let value = args[0];
      if (isObject(value)) {
        value = value instanceof NativeDate ? getTime.call(value) : primitive(value);
      }
      time = typeof value === "string" ? parse(value) : Number(value);
    }
    return Reflect.construct(NativeDate, [time], new.target);
  }
  named("Date", 7, ZakoDate);
  replace(ZakoDate, "UTC", UTC);
  method(ZakoDate, "parse", { parse(text) { return parse(text); } }.parse);
  method(ZakoDate, "now", { now() { refuse("Date.now", clock); } }.now);
  defineProperty(ZakoDate, "prototype", { value: NativeDate.prototype, writable: false, enumerable: false, configurable: false });
  const dateProto = NativeDate.prototype;
  replace(dateProto, "constructor", ZakoDate);
  for (const part of ["Date", "Day", "FullYear", "Hours", "Milliseconds", "Minutes", "Month", "Seconds"]) {
    const get = dateProto[`getUTC${part}`];
    replace(dateProto, `get${part}`, named(`get${part}`, 0, { f() { return Reflect.apply(get, this, []); } }.f));
    const set = dateProto[`setUTC${part}`];
    if (set) {
      replace(dateProto, `set${part}`, named(`set${part}`, set.length, { f(...a) { return Reflect.apply(set, this, a); } }.f));
    }
  }
  delete dateProto.getYear;
  delete dateProto.setYear;
  const toISO = dateProto.toISOString;
  const toUTC = dateProto.toUTCString;
  method(dateProto, "getTimezoneOffset", { getTimezoneOffset() { return Number.isNaN(dateProto.getTime.call(this)) ? NaN : 0; } }.getTimezoneOffset);
  for (const key of ["toString", "toDateString", "toTimeString"]) {
    replace(dateProto, key, named(key, 0, { f() { return Reflect.apply(toUTC, this, []); } }.f));
  }
  for (const key of ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"]) {
    replace(dateProto, key, named(key, 0, { f() { return Reflect.apply(toISO, this, []); } }.f));
  }
  replace(globalThis, "Date", ZakoDate);

  // What a module holds is frozen once it has run (settle.ts), which says nothing of what collections and dates hold: their
  // own methods have to look.
  const frozen = globalThis.__zako_frozen;
  delete globalThis.__zako_frozen;
  const { holder } = frozen;
  const guarded = new Set();
  const guard = (object, key) => {
    const change = object[key];
    if (typeof change !== "function" || guarded.has(change)) return;
    const { f } = {
      f(...given) {
        if (isObject(this)) {
          const module = holder(this);
          if (module !== undefined) {
            throw new TypeError(`Cannot ${key} in a ${object[Symbol.toStringTag] ?? "Date"} of ${module}: what a module holds is frozen once it has run`);
          }
        }
        return Reflect.apply(change, this, given);
      },
    };
    guarded.add(named(key, change.length, f));
    replace(object, key, f);
  };
  const guards = [
    [Map.prototype, ["set", "delete", "clear", "getOrInsert", "getOrInsertComputed"]],
    [WeakMap.prototype, ["set", "delete", "getOrInsert", "getOrInsertComputed"]],
    [Set.prototype, ["add", "delete", "clear"]],
    [WeakSet.prototype, ["add", "delete"]],
    [dateProto, ownKeys(dateProto).filter((key) => typeof key === "string" && key.startsWith("set"))],
  ];
  for (const [object, keys] of guards) {
    for (const key of keys) guard(object, key);
  }
  const lateGuards = guards.filter(([object]) => extended.has(object));

  // Locale.
  const numberToString = Number.prototype.toString;
  method(Number.prototype, "toLocaleString", { toLocaleString() { return Reflect.apply(numberToString, this, []); } }.toLocaleString);
  const bigToString = BigInt.prototype.toString;
  method(BigInt.prototype, "toLocaleString", { toLocaleString() { return Reflect.apply(bigToString, this, []); } }.toLocaleString);
  const arrayToString = Array.prototype.toString;
  method(Array.prototype, "toLocaleString", { toLocaleString() { return Reflect.apply(arrayToString, this, []); } }.toLocaleString);
  const TypedArray = getPrototypeOf(Uint8Array);
  const typedToString = TypedArray.prototype.toString;
  method(TypedArray.prototype, "toLocaleString", { toLocaleString() { return Reflect.apply(typedToString, this, []); } }.toLocaleString);
  for (const [key, plain] of [["toLocaleUpperCase", "toUpperCase"], ["toLocaleLowerCase", "toLowerCase"]]) {
    const convert = String.prototype[plain];
    replace(String.prototype, key, named(key, 0, { f() { return Reflect.apply(convert, this, []); } }.f));
  }
  method(String.prototype, "localeCompare", {
    localeCompare(that) {
      const [a, b] = [`${this}`, `${that}`];
      return a < b ? -1 : a > b ? 1 : 0;
    },
  }.localeCompare);

  // deno_core's replaces itself at its first call, which the frozen global object does not let it do.
  method(globalThis, "queueMicrotask", {
    queueMicrotask(callback) {
      if (typeof callback !== "function") throw new TypeError("queueMicrotask takes a function");
      resolved.then(() => {
        callback();
      });
    },
  }.queueMicrotask);

  // State shared behind everybody's back, and what shows the garbage collector at work.
  for (const key of ownKeys(RegExp)) {
    const { get } = getOwnPropertyDescriptor(RegExp, key);
    if (get && key !== Symbol.species) delete RegExp[key];
  }
  delete RegExp.prototype.compile;
  delete Error.captureStackTrace;
  delete Error.stackTraceLimit;

  // A frozen prototype would make `object.toString = f` fail on objects that inherit from it (the
  // "override mistake"); these become accessors whose setter defines the property on the object.
  const overridable = new Map([
    [Object.prototype, ["constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString", "valueOf"]],
    [Function.prototype, ["constructor", "bind", "toString"]],
    [Array.prototype, ["constructor", "concat", "join", "push", "toString"]],
    [Date.prototype, ["constructor", "toString"]],
    [Promise.prototype, ["constructor", "then", "catch", "finally"]],
    [TypedArray.prototype, ["constructor", "toString"]],
    ...[Error, AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map(
      (E) => [E.prototype, ["constructor", "message", "name", ...(E === Error ? ["toString"] : [])]],
    ),
    [getPrototypeOf(getPrototypeOf([][Symbol.iterator]())), ["constructor", Symbol.toStringTag]],
  ]);
  for (const [object, keys] of overridable) {
    for (const key of keys) {
      const descriptor = getOwnPropertyDescriptor(object, key);
      if (!descriptor || !("value" in descriptor) || !descriptor.configurable) continue;
      const { value } = descriptor;
      defineProperty(object, key, {
        get: named(`get ${String(key)}`, 0, { f() { return value; } }.f),
        set: named(`set ${String(key)}`, 1, {
          f(to) {
            if (this === object) throw new TypeError(`Cannot assign to '${String(key)}' of a shared prototype`);
            if (Object.prototype.hasOwnProperty.call(this, key)) this[key] = to;
            else defineProperty(this, key, { value: to, writable: true, enumerable: true, configurable: true });
          },
        }.f),
        enumerable: descriptor.enumerable,
        configurable: true,
      });
    }
  }

  // Freeze everything that is reachable, by property or by syntax only.
  const { seen } = frozen;
  const queue = [];
  const reach = (value) => {
    if ((typeof value === "object" || typeof value === "function") && value !== null && !seen.has(value)) {
      seen.add(value);
      queue.push(value);
    }
  };
  seen.add(globalThis);
  const reachProperty = (object, key) => {
    const descriptor = getOwnPropertyDescriptor(object, key);
    reach(descriptor.value);
    reach(descriptor.get);
    reach(descriptor.set);
  };
  const globals = new Set();
  for (const key of ownKeys(globalThis)) {
    if (!keep.has(key)) continue;
    globals.add(key);
    reachProperty(globalThis, key);
  }
  const byText = [
    async function () {}, function* () {}, async function* () {}, (function* () {})(), (async function* () {})(),
    [][Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](), ""[Symbol.iterator](),
    "".matchAll(/x/g), new WeakMap(), (() => {}), class {}, Promise.resolve(),
    Iterator.from({ next() {} }), [].values().map((x) => x),
  ];
  for (const value of byText) {
    for (let p = getPrototypeOf(value); p !== null; p = getPrototypeOf(p)) reach(p);
  }
  const thrower = getOwnPropertyDescriptor(function () { "use strict"; return arguments; }(), "callee").get;
  reach(thrower);
  const stack = getOwnPropertyDescriptor(new Error(), "stack");
  reach(stack.get);
  reach(stack.set);
  const reachProperties = (object) => {
    reach(getPrototypeOf(object));
    for (const key of ownKeys(object)) reachProperty(object, key);
  };
  while (queue.length > 0) {
    const object = queue.pop();
    if (ArrayBuffer.isView(object)) continue;
    reachProperties(object);
    if (extended.has(object)) late.push([object, new Set(ownKeys(object))]);
    else freeze(object);
  }

  // What the builtins export is zako's own, which nothing is added to later: frozen here and now.
  for (const module of globalThis.__zako_builtins) {
    for (const key of ownKeys(module)) reach(module[key]);
  }
  delete globalThis.__zako_builtins;
  while (queue.length > 0) {
    const object = queue.pop();
    reachProperties(object);
    freeze(object);
  }

  // Runs at every start, so it looks only at what may have come since. In parentheses, by which V8 compiles it now and keeps
  // that in the snapshot.
  globalThis.__zako_seal = (() => {
    for (const key of ownKeys(globalThis)) {
      if (globals.has(key)) reach(globalThis[key]);
      else if (keep.has(key)) reachProperty(globalThis, key);
      else delete globalThis[key];
    }
    defineProperty(Error, "stackTraceLimit", { value: 30, writable: false, enumerable: false, configurable: false });
    // Among what V8 has added since are methods of maps.
    for (const [object, keys] of lateGuards) {
      for (const key of keys) {
        guard(object, key);
        if (key in object) reachProperty(object, key);
      }
    }
    for (const [object, known] of late) {
      const keys = ownKeys(object);
      if (keys.length !== known.size) {
        for (const key of keys) {
          if (!known.has(key)) reachProperty(object, key);
        }
      }
      freeze(object);
    }
    while (queue.length > 0) {
      const object = queue.pop();
      // Most are functions of V8's, which have a length, a name and nothing else.
      if (typeof object !== "function" || ownKeys(object).length !== 2) reachProperties(object);
      freeze(object);
    }
    freeze(globalThis);
  });
})();
