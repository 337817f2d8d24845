// The language as ECMA-262 has it, where hardening a realm could have harmed it: one line a claim, which names its clause.
// `failed` is empty when all hold.

export const failed: string[] = [];
export let checked: number = 0;

const show = (value: unknown): string => {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "symbol" || typeof value === "function" || typeof value === "undefined") return String(value);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : `${value}`;
  return JSON.stringify(value);
};
const is = (clause: string, f: () => unknown, wanted: unknown): void => {
  checked += 1;
  let got: string;
  try {
    got = show(f());
  } catch (error) {
    got = `threw ${(error as Error).name}`;
  }
  const right = typeof wanted === "string" && wanted.startsWith("threw ") ? wanted : show(wanted);
  if (got !== right) failed.push(`${clause}: ${got}, not ${right}`);
};
const any = (value: unknown): any => value;

// 7, 10: conversions, property definition, and objects that inherit from frozen prototypes.
is("7.1.1 ToPrimitive", () => [`${{ toString: () => "s" }}`, +any({ valueOf: () => 4 }), any({ [Symbol.toPrimitive]: (h: string) => h }) + ""], ["s", 4, "default"]);
is("10.1.9 OrdinarySet toString", () => { const o: any = {}; o.toString = () => "mine"; return [`${o}`, Object.keys(o)]; }, ["mine", ["toString"]]);
is("10.1.9 OrdinarySet constructor", () => { const o: any = {}; o.constructor = 1; return Object.getOwnPropertyDescriptor(o, "constructor"); }, { value: 1, writable: true, enumerable: true, configurable: true });
is("10.1.9 OrdinarySet valueOf", () => { const o: any = Object.create({}); o.valueOf = () => 3; o.valueOf = () => 5; return o * 1; }, 5);
is("10.1.9 OrdinarySet on a derived class", () => { class A {} any(A).prototype.toString = () => "A"; return `${new A()}`; }, "A");
is("10.1.9 OrdinarySet hasOwnProperty", () => { const o: any = { x: 1 }; o.hasOwnProperty = () => false; return o.hasOwnProperty("x"); }, false);
is("10.1.9 OrdinarySet message, name", () => { const e: any = new TypeError("a"); e.message = "b"; e.name = "N"; return String(e); }, "N: b");
is("10.1.9 OrdinarySet in a function", () => { function F(this: any) {} any(F).toString = () => "F"; return `${F}`; }, "F");
is("10.1.9 OrdinarySet then", () => { const p: any = Promise.resolve(1); p.then = 1; return p.then; }, 1);
is("10.1.9 OrdinarySet push", () => { const a: any = []; a.push = () => "mine"; return a.push(); }, "mine");
is("10.1.9 a frozen object's heir keeps its own", () => { const o: any = Object.create(Object.freeze({ a: 1 })); o.a = 2; return o.a; }, "threw TypeError");
is("10.2 function objects", () => { function f(_a: number, _b = 1, ..._c: number[]) {} return [f.length, f.name, typeof any(f).prototype]; }, [1, "f", "object"]);
is("10.4.4 arguments", () => any(function (..._: number[]) { return [arguments.length, [...any(arguments)]]; })(1, 2), [2, [1, 2]]);
is("10.5 proxies", () => { const log: string[] = []; const p: any = new Proxy({}, { get: (_t, k) => (log.push(String(k)), 1), has: () => true }); return [p.a, "b" in p, log]; }, [1, true, ["a"]]);
is("10.5 proxy invariants", () => any(new Proxy(Object.freeze({ a: 1 }), { get: () => 2 })).a, "threw TypeError");
// 13 to 15: expressions, statements, classes, generators.
is("13.2.8 template literals", () => ((s: TemplateStringsArray, ...v: number[]) => [s.raw, v])`a\n${1}b`, [["a\\n", "b"], [1]]);
is("13.3 optional chaining", () => [any(null)?.x.y, any({ a: null }).a?.b(), any({ f: () => 2 }).f?.()], [undefined, undefined, 2]);
is("13.15 logical assignment", () => { let a: any = null; a ??= 1; a &&= 2; a ||= 3; return a; }, 2);
is("13.15 destructuring", () => { const { a = 1, ...rest } = any({ b: 2, c: 3 }); const [x, , y = 9, ...z] = any([1, 2, undefined, 4]); return [a, rest, x, y, z]; }, [1, { b: 2, c: 3 }, 1, 9, [4]]);
is("14.7.5 for of closes", () => { let closed = 0; const i = { [Symbol.iterator]: () => ({ next: () => ({ done: false, value: 1 }), return: () => (closed++, {}) }) }; for (const _ of any(i)) break; return closed; }, 1);
is("14.15 finally", () => (() => { try { return 1; } finally { void 0; } })(), 1);
is("15.5 generators", () => { function* g(): any { const got = yield 1; yield got * 2; return 3; } const i = g(); return [i.next(), i.next(5), i.next(), i.next()]; }, [{ value: 1, done: false }, { value: 10, done: false }, { value: 3, done: true }, { value: undefined, done: true }]);
is("15.5 generator return and throw", () => { function* g() { try { yield 1; } finally { yield 2; } } const i = g(); i.next(); return [i.return(any(9)), i.next()]; }, [{ value: 2, done: false }, { value: 9, done: true }]);
is("15.7 private names", () => { class A { #x = 1; static has(o: any) { return #x in o; } get x() { return this.#x; } set x(v) { this.#x = v; } } const a = new A(); a.x = 5; return [a.x, A.has(a), A.has({})]; }, [5, true, false]);
is("15.7 fields and static blocks", () => { class A { static n: number; a = 1; ["b"] = 2; static { this.n = 7; } } return [new A(), A.n]; }, [{ a: 1, b: 2 }, 7]);
is("15.7 extends Array", () => { class S extends Array { top() { return this[this.length - 1]; } } const s: any = S.from([1, 2]); s.push(3); return [s.top(), s.length, s.map((x: number) => x * 2) instanceof S, Array.isArray(s)]; }, [3, 3, true, true]);
is("15.7 extends Map", () => { class M extends Map { get(k: any) { return super.get(k) ?? "none"; } } return [new M([[1, 2]]).get(1), new M().get(1)]; }, [2, "none"]);
is("15.7 extends Error", () => { class E extends Error { code = 4; constructor(m: string) { super(m, { cause: 1 }); this.name = "E"; } } const e = new E("m"); return [String(e), e.code, e.cause, e instanceof Error, Error.isError(e), typeof e.stack]; }, ["E: m", 4, 1, true, true, "string"]);
is("15.7 extends Promise", () => { class P extends Promise<number> {} return P.resolve(1).then((x) => x) instanceof P; }, true);
is("15.7 extends Function's absence", () => { class A {} return [any(A).call === Function.prototype.call, A.name, String(A).startsWith("class A")]; }, [true, "A", true]);
is("15.7 new.target", () => { class A { t: any; constructor() { this.t = new.target; } } class B extends A {} return new B().t === B; }, true);
is("15.7 super", () => { class A { f() { return 1; } } class B extends A { f() { return super.f() + 1; } } const o: any = { __proto__: { g: () => 3 }, g() { return super.g() + 1; } }; return [new B().f(), o.g()]; }, [2, 4]);
// 19, 20: globals, Object, Function, Symbol, errors.
is("19.2 global functions", () => [parseInt("0x1f"), parseFloat("1.5e3x"), isNaN(any("x")), encodeURIComponent("ä/"), decodeURIComponent("%C3%A4"), any(globalThis).escape("ä"), any(globalThis).unescape("%E4")], [31, 1500, true, "%C3%A4%2F", "ä", "%E4", "ä"]);
is("20.1 Object.assign, entries", () => [Object.assign({ a: 1 }, null, { b: 2 }), Object.entries({ b: 1, a: 2 }), Object.fromEntries([["x", 1]])], [{ a: 1, b: 2 }, [["b", 1], ["a", 2]], { x: 1 }]);
is("20.1 Object.groupBy", () => Object.groupBy([1, 2, 3], (n) => (n % 2 ? "odd" : "even")), { odd: [1, 3], even: [2] });
is("20.1 integrity", () => { const o = Object.freeze({ a: { b: 1 } }); o.a.b = 2; return [Object.isFrozen(o), o.a.b, Object.isSealed(Object.seal({})), Object.isExtensible(Object.preventExtensions({}))]; }, [true, 2, true, false]);
is("20.1 own names of a plain object", () => [Reflect.ownKeys({}), "toString" in {}, Object.hasOwn({}, "toString")], [[], true, false]);
is("20.1.3 toString", () => [[], null, undefined, 1, "", true, /x/, new Date(0), () => 1, new Map(), Symbol(), 1n].map((v) => Object.prototype.toString.call(v).slice(8, -1)), ["Array", "Null", "Undefined", "Number", "String", "Boolean", "RegExp", "Date", "Function", "Map", "Symbol", "BigInt"]);
is("20.1.3 constructor", () => [({}).constructor === Object, any([]).constructor === Array, any(() => 1).constructor === Function, any(new Date(0)).constructor === Date], [true, true, true, true]);
is("20.1.3.8 __proto__", () => { const p = { x: 1 }; const o: any = { __proto__: p }; o.__proto__ = { y: 2 }; return [o.x, o.y]; }, [undefined, 2]);
is("20.2 call, apply, bind", () => { function f(this: any, ...a: any[]) { return [this, ...a]; } const b = f.bind("t", 1); return [f.call("a", 1), f.apply("b", [2]), b(2), b.name, b.length]; }, [["a", 1], ["b", 2], ["t", 1, 2], "bound f", 0]);
is("20.4 symbols", () => [Symbol("d").description, Symbol.for("k") === Symbol.for("k"), Symbol.keyFor(Symbol.for("k")), any({ [Symbol.toStringTag]: "T" }) + ""], ["d", true, "k", "[object T]"]);
is("20.5 errors", () => [String(new RangeError("r")), new AggregateError([1], "a").errors, any(new Error("x", { cause: 2 })).cause, Object.keys(new Error("x")), new Error("m").hasOwnProperty("message"), new Error().hasOwnProperty("message")], ["RangeError: r", [1], 2, [], true, false]);
is("20.5.3 Error.prototype", () => [Error.prototype.name, Error.prototype.message, TypeError.prototype.name, String(Object.create(Error.prototype))], ["Error", "", "TypeError", "Error"]);
// 21: numbers, Math, Date.
is("21.1 Number", () => [(255).toString(16), (0.1 + 0.2).toFixed(2), Number("0b11"), Number(""), Number("1_0"), Number.isSafeInteger(2 ** 53), (1e21).toString(), (25).toExponential(), Number.EPSILON > 0], ["ff", "0.30", 3, 0, NaN, false, "1e+21", "2.5e+1", true]);
is("21.2 BigInt as text", () => [2n ** 64n, BigInt.asUintN(8, 257n), -7n / 2n, BigInt("0x10")].map(String), ["18446744073709551616", "1", "-3", "16"]);
is("21.3 Math", () => [Math.max(), Math.sign(-0), Math.hypot(3, 4), Math.clz32(1), Math.fround(5.5), Math.imul(3, -1), Math.trunc(-1.5), Math.cbrt(27), Math.log2(8)], [-Infinity, 0, 5, 31, 5.5, -3, -1, 3, 3].map((n, at) => (at === 1 ? -0 : n)));
is("21.4 Date.UTC and fields", () => { const d = new Date(Date.UTC(2024, 1, 29, 1, 2, 3, 4)); d.setMonth(2); d.setDate(1); d.setHours(5, 6); return [d.toISOString(), d.getDay(), d.getTime(), d.toJSON()]; }, ["2024-03-01T05:06:03.004Z", 5, 1709269563004, "2024-03-01T05:06:03.004Z"]);
is("21.4 Date from parts", () => [new Date(99, 0).getFullYear(), new Date(2024, 12).getMonth(), new Date(NaN).getTime(), String(new Date(NaN))], [1999, 0, NaN, "Invalid Date"]);
is("21.4 Date from a Date", () => [new Date(new Date(5)).getTime(), new Date(any({ valueOf: () => 7 })).getTime(), new Date(null as any).getTime(), new Date(any(true)).getTime()], [5, 7, 0, 1]);
is("21.4 Date from an object that is text", () => new Date(any({ toString: () => "2024-01-01" })).getTime(), 1704067200000);
is("21.4 Date from two objects", () => new Date(any({ valueOf: () => 2024 }), any("3")).getMonth(), 3);
is("21.4 Date arithmetic", () => [any(new Date(5)) - any(new Date(2)), new Date(5) > new Date(2), typeof (any(new Date(0)) + 1)], [3, true, "string"]);
is("21.4 Date methods want a Date", () => Date.prototype.getHours.call(any({})), "threw TypeError");
// 22: strings and regular expressions.
is("22.1 String", () => ["abc".at(-1), "a-b-c".replaceAll("-", "+"), "x".padStart(3, "ab"), " a ".trim(), "abc".substring(2, 0), "a,b".split(","), "ab".repeat(2), [..."a𝒳"].length, "ß".toUpperCase(), "\uD800".isWellFormed(), "aXbX".lastIndexOf("X")], ["c", "a+b+c", "abx", "a", "ab", ["a", "b"], "abab", 2, "SS", false, 3]);
is("22.1 String.raw, fromCodePoint", () => [String.raw`\n${1}`, String.fromCodePoint(0x1d4b3), "é".normalize("NFD").length, "a".localeCompare("b"), "b".localeCompare("a"), "a".localeCompare("a")], ["\\n1", "𝒳", 2, -1, 1, 0]);
is("22.2 RegExp", () => [/(?<y>\d{4})-(?<m>\d\d)/u.exec("on 2024-05")?.groups, "aBc".replace(/b/i, (m) => `[${m}]`), "a1b2".match(/\d/g), [..."a1b2".matchAll(/([a-z])(\d)/g)].map((m) => m[2]), /(?<=\$)\d+/.exec("$42")?.[0], /\p{Lu}/u.test("Ä"), /^.$/su.test("\n"), "x".search(/y/)], [{ y: "2024", m: "05" }, "a[B]c", ["1", "2"], ["1", "2"], "42", true, true, -1]);
is("22.2 lastIndex, sticky, indices, sets", () => { const r = /a/y; r.lastIndex = 1; return [r.test("ba"), r.lastIndex, any(/b/d.exec("ab")).indices[0], /[\p{L}--[a-z]]/v.test("a"), new RegExp("/").source, RegExp("a", "gi").flags]; }, [true, 2, [1, 2], false, "\\/", "gi"]);
is("22.2 subclass", () => { class R extends RegExp { exec(s: string) { const m = super.exec(s); if (m) any(m).mine = 1; return m; } } return [any(new R("a").exec("a")).mine, "xax".replace(new R("a"), "b")]; }, [1, "xbx"]);
// 23, 24: arrays, typed arrays, collections.
is("23.1 Array", () => [[3, 1, 2].sort(), [1, [2, [3]]].flat(Infinity), [1, 2, 3].with(1, 9), [1, 2, 3].toSpliced(1, 1), [1, 2, 3, 4].findLast((n) => n < 4), Array.from({ length: 2 }, (_, n) => n), [1, 2, 3].copyWithin(0, 1), [, 1].includes(undefined as any), Array.of(7), [1, 2].entries().toArray(), [1, 2, 3].at(-1)], [[1, 2, 3], [1, 2, 3], [1, 9, 3], [1, 3], 3, [0, 1], [2, 3, 3], true, [7], [[0, 1], [1, 2]], 3]);
is("23.1 sort is stable", () => Array.from({ length: 100 }, (_, n) => ({ k: n % 3, n })).sort((a, b) => a.k - b.k).every((x, at, all) => at === 0 || all[at - 1].k < x.k || all[at - 1].n < x.n), true);
is("23.1 length", () => { const a: any = [1, 2, 3]; a.length = 1; a[3] = 4; return [a, a.length, 2 in a]; }, [[1, undefined, undefined, 4].map((x, at) => (at % 3 ? null : x)), 4, false]);
is("23.1 join and toString", () => [[1, [2, 3], null].join(), `${[1, [2]]}`, [1.5, "a"].toLocaleString()], ["1,2,3,", "1,2", "1.5,a"]);
is("23.2 typed arrays", () => [[...new Uint8Array([1, 256, -1])], [...Uint8ClampedArray.of(300, -5)], [...new Float32Array([0.1]).map((x) => x * 2)].length, [...new Uint16Array([1, 2, 3]).subarray(1)], [...new Int8Array([3, 1, 2]).toSorted()], new Float16Array([1.5])[0], new BigInt64Array(1)[0] === 0n], [[1, 0, 255], [255, 0], 1, [2, 3], [1, 2, 3], 1.5, true]);
is("24.1 Map", () => { const m = new Map<any, any>([[NaN, 1], [-0, 2]]); return [m.get(NaN), m.get(0), [...m.keys()].map((k) => Object.is(k, -0)), m.size, [...Map.groupBy([1, 2, 3], (n) => n % 2)]]; }, [1, 2, [false, false], 2, [[1, [1, 3]], [0, [2]]]]);
is("24.2 Set", () => [[...new Set([1, 2]).union(new Set([3]))], [...new Set([1, 2]).intersection(new Set([2]))], new Set([1]).isSubsetOf(new Set([1, 2])), [...new Set([3, 1, 3])]], [[1, 2, 3], [2], true, [3, 1]]);
is("24.1 iteration sees what is added", () => { const s = new Set([1]); const got: number[] = []; for (const n of s) { got.push(n); if (n < 3) s.add(n + 1); } return got; }, [1, 2, 3]);
is("24.3 WeakMap, WeakSet", () => { const k = {}; const m = new WeakMap([[k, 1]]); return [m.get(k), m.has({}), new WeakSet([k]).has(k)]; }, [1, false, true]);
// 25, 26: buffers, JSON, memory.
is("25.1 ArrayBuffer, DataView", () => { const v = new DataView(new ArrayBuffer(8)); v.setFloat32(0, 1.5); v.setInt16(4, -2, true); const r: any = new ArrayBuffer(2, { maxByteLength: 4 } as any); r.resize(4); return [v.getUint8(0), v.getInt16(4, true), r.byteLength, r.resizable, new ArrayBuffer(4).slice(1).byteLength, any(new ArrayBuffer(3)).transfer(5).byteLength]; }, [63, -2, 4, true, 3, 5]);
is("25.5 JSON", () => [JSON.parse('{"a":[1,{"b":null}]}', (k, v) => (k === "b" ? 2 : v)), JSON.stringify({ a: undefined, b: () => 1, c: Symbol(), d: NaN, e: new Date(0), f: [undefined], g: { toJSON: () => "j" } }), JSON.stringify({ a: [1] }, null, 2), JSON.stringify("\u2028\uD800"), JSON.stringify({ b: 1, a: 2 }, ["a"])], [{ a: [1, { b: 2 }] }, '{"d":null,"e":"1970-01-01T00:00:00.000Z","f":[null],"g":"j"}', '{\n  "a": [\n    1\n  ]\n}', '"\u2028\\ud800"', '{"a":2}']);
is("25.5 __proto__ in JSON", () => { const o = JSON.parse('{"__proto__": 1}'); return [Object.keys(o), Object.getPrototypeOf(o) === Object.prototype]; }, [["__proto__"], true]);
// 27: iteration, promises, resources.
is("27.1 iterator helpers", () => [[1, 2, 3, 4].values().filter((n) => n % 2).map((n) => n * 10).toArray(), Iterator.from(new Set([1, 2])).drop(1).toArray(), [1, 2, 3].values().reduce((a, b) => a + b), [1, 2].values().flatMap((n) => [n, n]).take(3).toArray(), [1].values().some((n) => n > 1)], [[10, 30], [2], 6, [1, 1, 2], false]);
is("27.1 own iterators", () => { class C { *[Symbol.iterator]() { yield* [1, 2]; } } return [...new C() as any, ...Iterator.from({ next: () => ({ done: true, value: 0 }) } as any)]; }, [1, 2]);
is("28.1 Reflect", () => { const o: any = {}; return [Reflect.set(o, "a", 1), Reflect.has(o, "a"), Reflect.ownKeys(o), Reflect.apply(Math.max, null, [1, 2]), Reflect.construct(Date, [0]) instanceof Date, Reflect.defineProperty(Object.freeze({}), "x", { value: 1 }), Reflect.getPrototypeOf([]) === Array.prototype]; }, [true, true, ["a"], 2, true, false, true]);
is("27.3 explicit resources", () => { const log: string[] = []; { const s = new DisposableStack(); s.defer(() => log.push("a")); s.use({ [Symbol.dispose]: () => { log.push("b"); } }); s.dispose(); } return log; }, ["b", "a"]);

const log: string[] = [];
const later = async (name: string) => { log.push(`${name}1`); await null; log.push(`${name}2`); };
const both = Promise.all([later("a"), later("b")]);
log.push("sync");
await both;
queueMicrotask(() => log.push("queued"));
await null;
is("27.7 async functions", () => log, ["a1", "b1", "sync", "a2", "b2", "queued"]);
const settled = await Promise.allSettled([Promise.reject(new Error("x")), 1]);
const raced = await Promise.race([new Promise(() => {}), Promise.resolve(2)]);
const anyOf = await Promise.any([Promise.reject(1), Promise.resolve(3)]);
const { promise, resolve } = Promise.withResolvers<number>();
resolve(4);
const caught = await Promise.reject(5).catch((n) => n).finally(() => 6);
const tried: unknown = await any(Promise).try(() => 7);
const waited = await promise;
is("27.2 promises", () => [settled.map((s) => s.status), raced, anyOf, waited, caught, tried], [["rejected", "fulfilled"], 2, 3, 4, 5, 7]);
const collected: number[] = [];
async function* numbers() { try { yield 1; yield 2; yield 3; } finally { collected.push(-1); } }
for await (const n of numbers()) { collected.push(n); if (n === 2) break; }
const fromAsync = await any(Array).fromAsync(numbers());
is("27.6 async generators", () => [collected, fromAsync], [[1, 2, -1, -1], [1, 2, 3]]);
is("16.2 modules", () => { try { any(globalThis).checked = 1; return "changed"; } catch (e) { return (e as Error).name; } }, "TypeError");
