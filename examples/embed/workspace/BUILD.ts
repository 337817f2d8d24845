import { task } from "zako:build";
// This module exists only in the program that embeds zako: see ../src/main.rs.
import { setting } from "acme:env";

/** A text that the embedding program decides on. */
export const greeting = task({
  outputs: ["greeting.txt"],
  env: { GREETING: `hello from ${setting("product")} (${setting("channel")})` },
  shell: 'printf "%s\\n" "$GREETING" > "$out"',
  message: "write greeting.txt",
});

/** The same, louder. */
export const shout = task({
  inputs: [greeting],
  outputs: ["shout.txt"],
  shell: 'tr a-z A-Z < "$in" > "$out"',
  message: "write shout.txt",
});

/** Longer than anybody waits, to show how a build is cancelled. `manual` keeps it out of patterns. */
export const endless = task({
  outputs: ["endless.txt"],
  shell: 'sleep 600; : > "$out"',
  message: "wait for a long time",
  tags: ["manual"],
});
