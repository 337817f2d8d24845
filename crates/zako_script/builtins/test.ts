import { task } from "zako:build";
import type { CommandItem, File, Retries, Target } from "zako:build";

/** What {@link test} takes. */
export interface TestProps {
  /** The command: the program and its arguments. It passes when it exits with 0. */
  command?: readonly CommandItem[];
  /** A script for `sh -eu -c`, in place of a command. */
  shell?: string;
  /** What it reads. */
  data?: readonly File[];
  /** Programs that it runs, built for the machine that runs it. */
  tools?: readonly File[];
  /** Its environment, besides the constant PATH, HOME, LANG, TZ and TMPDIR. */
  env?: Readonly<Record<string, string>>;
  /** How many times it is tried again when it fails, at most 10, or {@link Retries}: after which failures, and when. Default 0. */
  retries?: number | Retries;
  /** The longest that it may run: seconds, or as `"90s"`, `"5m"`. */
  timeout?: number | string;
  /** Into how many parts it is split, which run at the same time. Each is told which it is by `TEST_SHARD_INDEX` (from 0) and `TEST_TOTAL_SHARDS`. */
  shards?: number;
  /** Processors that it uses; fractions count. Default 1. */
  cpu?: number;
  /** Memory that it uses: bytes, or as `"512MiB"`. */
  memory?: number | string;
  /** Whether it may use the network. Default false. */
  network?: boolean;
  /** Named resources that it holds while it runs. */
  resources?: Readonly<Record<string, number>>;
  /** Words to select it by; `manual` keeps it out of patterns. */
  tags?: readonly string[];
}

/** The most parts of one test. */
const MAX_SHARDS = 1000;

/**
 * Any command as a test: `zako test` runs it, and keeps that it passed until something that it reads changes. With `shards` it is a
 * list of targets, `//p:t[0]` and so on, and `//p:t` means all of them.
 *
 * ```ts
 * const words = task({ outputs: ["words"], shell: 'echo some words > "$out"' });
 * export const has_words = test({ command: ["grep", "-q", "words", words] });
 * export const all = test({ shell: 'echo part "$TEST_SHARD_INDEX" of "$TEST_TOTAL_SHARDS"', shards: 4 });
 * ```
 */
export function test(props: TestProps): Target | readonly Target[] {
  if (typeof props !== "object" || props === null) throw new TypeError("test takes an object: { command }");
  const { data, shards, env, ...rest } = props;
  const one = (more: Readonly<Record<string, string>>): Target =>
    task({ message: "test", ...rest, ...(data === undefined ? {} : { inputs: data }), env: { ...env, ...more }, test: true } as any) as any;
  if (shards === undefined) return one({});
  if (!Number.isInteger(shards) || shards < 1 || shards > MAX_SHARDS) throw new TypeError(`shards of test takes a whole number from 1 to ${MAX_SHARDS}`);
  return Object.freeze(Array.from({ length: shards }, (_, at) => one({ TEST_SHARD_INDEX: `${at}`, TEST_TOTAL_SHARDS: `${shards}` })));
}
