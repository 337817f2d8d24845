// The body of a script action: it runs inside zako, sees its declared inputs and writes its declared outputs.
import { script } from "zako:script";
import { rows } from "./rows.ts";

export default script((ctx) => {
  const name = ctx.env.NAME;
  const guard = `${name.toUpperCase()}_H`;
  const entries = ctx.inputs.flatMap((path) => rows(ctx.readText(path), path));

  ctx.writeText(
    ctx.out.header,
    [
      `/* Generated from ${ctx.inputs.join(", ")} (${ctx.env.FINGERPRINT}). */`,
      `#ifndef ${guard}`,
      `#define ${guard}`,
      `enum ${name} {`,
      ...entries.map(({ symbol, value }) => `    ${symbol} = ${value},`),
      "};",
      `#define ${name.toUpperCase()}_COUNT ${entries.length}`,
      `#define ${name.toUpperCase()}_FINGERPRINT "${ctx.env.FINGERPRINT}"`,
      `const char *${name}_text(enum ${name} value);`,
      "#endif",
      "",
    ].join("\n"),
  );
  ctx.writeText(
    ctx.out.source,
    [
      `#include "${ctx.env.INCLUDE}"`,
      "#include <stddef.h>",
      `const char *${name}_text(enum ${name} value) {`,
      "    switch (value) {",
      ...entries.map(({ symbol, text }) => `        case ${symbol}: return ${JSON.stringify(text)};`),
      "    }",
      "    return NULL;",
      "}",
      "",
    ].join("\n"),
  );
});
